//! Poll delivery (RFC 8936): `answers` checks the limits of an answer, `acknowledging` how SETs are
//! settled, and `waiting` long polls.

mod acknowledging;
mod answers;
mod waiting;
