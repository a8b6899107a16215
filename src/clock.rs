//! The only module that reads the time or draws random numbers. All other modules get both as
//! arguments, so that a test can choose them. [`Ages`] tells the time by which ages are judged.

mod ages;

use std::time::{Instant, SystemTime};

use uuid::Uuid;

pub use self::ages::Ages;
use crate::domain::time::Timestamp;

/// Returns the time of day.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Returns a point in time for measuring spans. Setting the clock does not move it.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Returns 122 random bits.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn random_uuid() -> Uuid {
    Uuid::new_v4()
}

/// Returns a random number in `0.0..=1.0`, for jitter.
pub fn dice() -> f64 {
    let drawn = u32::try_from(random_uuid().as_u128() & u128::from(u32::MAX));
    f64::from(drawn.expect("masked to 32 bits")) / f64::from(u32::MAX)
}
