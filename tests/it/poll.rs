//! Poll delivery (RFC 8936).

mod acknowledging;
mod answers;
mod waiting;
