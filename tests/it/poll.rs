//! Poll delivery (RFC 8936): `answers` checks the limits of an answer, `acknowledging` how SETs are
//! settled, `waiting` long polls, `leaving` those whose Receiver or whose right to wait is gone, and `revoking`
//! those whose token ends.

mod acknowledging;
mod answers;
mod leaving;
mod revoking;
mod waiting;
