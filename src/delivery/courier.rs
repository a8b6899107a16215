//! The courier of one push stream: how its work stands, as a value.

mod report;

pub use self::report::{BreakerReport, CourierReport, LastOutcome, RoomReport, SlowdownReport};
