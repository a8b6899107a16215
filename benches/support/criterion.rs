//! Criterion for the small benchmarks, and access to its results.

use std::{fs, path::PathBuf, time::Duration};

use criterion::Criterion;
use serde_json::Value;

/// Returns a Criterion that keeps the results of the benchmark `name` apart from those of others.
/// Criterion takes few samples here, so that `make bench` ends within minutes.
pub(crate) fn criterion(name: &str) -> Criterion {
    Criterion::default()
        .output_directory(&results(name))
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args()
}

/// Returns the median time of the benchmark `id`, in microseconds.
pub(crate) fn median_micros(name: &str, id: &str) -> Option<f64> {
    let file = results(name).join(id).join("new/estimates.json");
    let estimates: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    Some(estimates["median"]["point_estimate"].as_f64()? / 1_000.0)
}

fn results(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}
