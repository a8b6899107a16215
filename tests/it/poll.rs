//! Poll delivery (RFC 8936): `answers` checks the limits of an answer, `acknowledging` how SETs are
//! settled, `waiting` long polls, and `leaving` those whose Receiver or whose right to wait is gone.

mod acknowledging;
mod answers;
mod leaving;
mod waiting;
