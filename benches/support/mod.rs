//! Code that the benchmarks share: the daemon in a process of its own, Redis, Receivers, the
//! resource usage of processes, and the report.
#![allow(dead_code, reason = "each benchmark uses a part of it")]
#![allow(clippy::print_stdout, reason = "a benchmark tells what it measured")]

pub(crate) mod backend;
pub(crate) mod bare_signer;
pub(crate) mod bare_store;
pub(crate) mod criterion;
pub(crate) mod daemon;
pub(crate) mod machine;
pub(crate) mod receiver;
pub(crate) mod redis;
pub(crate) mod report;
pub(crate) mod sample;
pub(crate) mod streams;
pub(crate) mod usage;

use std::{future::Future, time::Duration};

/// The type of the benchmarks' events.
pub(crate) const TYPE: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// Runs a future on this thread, apart from the threads of the daemon.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), future)
}

/// Returns whether this run measures. `cargo test --all-targets` runs the benchmarks without
/// measuring.
pub(crate) fn is_measured() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Returns the time of day in microseconds, which several processes can compare.
#[expect(clippy::disallowed_methods, reason = "the daemon's clock has milliseconds")]
pub(crate) fn now_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).expect("not that far in the future")
}

pub(crate) fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

pub(crate) fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "memory is less than 2^53 bytes")]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
