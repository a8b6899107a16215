//! The list of maintenance jobs.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;

use super::inactivity;
use crate::harness::{daemon::Daemon, eventually};

/// Returns the maintenance jobs as an operator sees them, by name.
async fn jobs(daemon: &Daemon) -> Vec<(String, Value)> {
    let token = daemon.operator_token().await;
    let list = daemon.admin(&token, Method::GET, "/jobs").send().await.expect(200).json();
    let jobs = list["jobs"].as_array().expect("jobs").iter();
    jobs.map(|job| (job["name"].as_str().expect("a name").to_owned(), job.clone())).collect()
}

async fn job(daemon: &Daemon, name: &str) -> Value {
    let mut jobs = jobs(daemon).await.into_iter();
    jobs.find_map(|(n, job)| (n == name).then_some(job)).expect("there is such a job")
}

#[actix_web::test]
async fn each_periodic_job_has_run_soon_after_the_start() {
    let daemon = Daemon::with(|config| inactivity::after(Duration::from_hours(1))(config)).await;
    eventually("all have run", async || {
        let jobs = jobs(&daemon).await;
        let periodic = jobs.iter().filter(|(_, job)| job["period_millis"].is_number());
        periodic.clone().count() == 11
            && periodic.clone().all(|(_, job)| job["last_run"].is_object())
    })
    .await;
    for (name, job) in jobs(&daemon).await {
        assert!(job["last_error"].is_null(), "{name}: {job}");
        assert!(job["last_run"].is_null() || job["last_run"]["did"].is_object(), "{name}: {job}");
    }
    let expire = job(&daemon, "expire").await;
    assert_eq!(expire["scope"], "one_node");
    assert_eq!(expire["runs_here"], true);
    assert_eq!(expire["period_millis"], 60_000);
    let started = expire["last_run"]["started_at"].as_i64().expect("a time");
    assert_eq!(expire["next_run_at"].as_i64().expect("a time"), started + 60);
}

#[actix_web::test]
async fn a_job_that_the_configuration_does_not_ask_for_is_not_listed() {
    let daemon = Daemon::start().await;
    let names: Vec<_> = jobs(&daemon).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "sweep",
            "limit_held",
            "give_up_polled",
            "expire",
            "backlog",
            "pause_at_fault",
            "watch_store",
            "metrics_upkeep",
            "record_last_uses",
            "end_revoked_polls"
        ]
    );
}
