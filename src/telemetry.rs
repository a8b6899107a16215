//! Metrics, logs and readiness: the view that operators have of the daemon.
//!
//! - [`metrics`] names each metric once, in one table, and serves them to Prometheus.
//! - [`logging`] writes structured logs, with [`causes`] for the text of an error and its causes.
//!   [`log_pace`] bounds the lines that strangers can cause.
//! - [`spans`] names the spans of an event's way.
//! - [`readiness`] collects the parts that the daemon still waits for.
//! - [`supervision`] keeps long-lived tasks running, or ends the process with an error.

pub mod causes;
pub mod log_pace;
pub mod logging;
pub mod metrics;
pub mod readiness;
pub mod spans;
pub mod supervision;
