//! Why a SET was not made or did not go out, as it is kept and counted.

/// Why a SET was discarded, or not made, for a stream that is disabled (SSF §8.1.2.1).
pub const DISABLED: &str = "disabled";

/// Why a SET was discarded, or not made, whose subject is not on the stream (SSF §8.1.3).
pub const SUBJECT: &str = "subject";

/// Why no SET was made whose subject has no name that the stream's Receiver knows (SSF §10.1).
pub const FORMAT: &str = "format";

/// Why no SET was made about an account that opted out (RISC §2.8).
pub const OPTED_OUT: &str = "opted_out";

/// Why a SET is dead that a paused stream held too long, or among too many (SSF §8.1.2.1).
pub const HOLD_LIMIT: &str = "hold_limit";
