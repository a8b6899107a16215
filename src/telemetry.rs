//! What the daemon tells of itself: metrics for machines, logs for people.

pub mod causes;
pub mod logging;
pub mod metrics;
pub mod readiness;
