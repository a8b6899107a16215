//! Maintenance jobs.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{HttpResponse, web};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer;
use crate::{
    domain::time::Timestamp,
    http::auth::Operator,
    maintenance::{JobBoard, JobScope, JobState, Trigger},
};

/// The maintenance jobs of the node that answers, in the order in which they were started.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "MaintenanceJobs")]
pub struct JobsView {
    pub jobs: Vec<JobView>,
}

/// One maintenance job. Times are seconds since 1970.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "MaintenanceJob")]
pub struct JobView {
    pub name: String,
    pub purpose: String,
    /// Absent if the job runs on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_millis: Option<u64>,
    pub scope: JobScope,
    /// Whether this node runs the job. Absent before the job's first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_here: Option<bool>,
    /// When the run under way started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_since: Option<i64>,
    /// The last run that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunView>,
    /// The last run that failed. Later successes leave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<FailedRunView>,
    /// Absent while the job runs, and if it runs on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run_at: Option<i64>,
}

/// A run of a job that ended.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "MaintenanceRun")]
pub struct RunView {
    pub started_at: i64,
    pub took_millis: u64,
    /// The counts of the run, by name. Absent if the run failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did: Option<BTreeMap<String, u64>>,
}

/// A run of a job that failed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "MaintenanceError")]
pub struct FailedRunView {
    pub at: i64,
    pub error: String,
}

impl From<JobState> for JobView {
    fn from(state: JobState) -> Self {
        let spec = state.spec;
        let last_run = state.last_run.map(|run| RunView {
            started_at: run.started.as_secs(),
            took_millis: millis(run.took),
            did: run.done.map(|done| done.0.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        });
        let last_error = state.last_error;
        Self {
            name: spec.name.to_owned(),
            purpose: spec.purpose.to_owned(),
            period_millis: match spec.trigger {
                Trigger::Every(period) => Some(millis(period)),
                Trigger::Request => None,
            },
            scope: spec.scope,
            runs_here: state.runs_here,
            running_since: state.running_since.map(Timestamp::as_secs),
            last_run,
            last_error: last_error.map(|e| FailedRunView { at: e.at.as_secs(), error: e.error }),
            next_run_at: state.next_run.map(Timestamp::as_secs),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

pub(in crate::http) async fn list(_: Operator, jobs: web::Data<JobBoard>) -> HttpResponse {
    let jobs = jobs.states().into_iter().map(JobView::from).collect();
    answer(HttpResponse::Ok(), JobsView { jobs })
}
