//! `ssfd jobs`: an operator looks at the maintenance jobs of a daemon.

use std::time::Duration;

use clap::Args;
use humantime_serde::re::humantime;

use crate::{
    cli::{CliError, admin::AdminArgs, moment, output, plain, source::ConfigSource, table::Table},
    http::admin::jobs::{JobView, JobsView},
};

const EXAMPLES: &str = "Examples:
  ssfd jobs --token-file operator.token
  ssfd jobs --url http://10.0.0.7:9090 --json";

/// List the maintenance jobs: when each ran last, what it did, and why it failed.
///
/// Asks the daemon that runs, at its internal listener, with an operator's token (`ssfd tokens create
/// operator`). Of several nodes, each tells what it does itself.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct JobsCommand {
    #[command(flatten)]
    access: AdminArgs,
}

impl JobsCommand {
    pub async fn run(self, config: &ConfigSource, json: bool) -> Result<(), CliError> {
        let JobsView { jobs } = self.access.client(config)?.get(&["jobs"], &[]).await?;
        if json {
            output::print(serde_json::to_string(&jobs).expect("views are plain data"))?;
        } else {
            let mut table = Table::new(["JOB", "PERIOD", "STATE"]);
            for job in &jobs {
                table.add(row(job));
            }
            output::print(table)?;
        }
        Ok(())
    }
}

/// The job, how often it runs, and what is known of its last run.
fn row(job: &JobView) -> [String; 3] {
    let JobView { name, period_millis, .. } = job;
    let period = period_millis.map(|millis| {
        format!("every {}", humantime::format_duration(Duration::from_millis(millis)))
    });
    let period = period.unwrap_or_else(|| "on request".to_owned());
    let state = match (&job.running_since, &job.last_run) {
        (Some(since), _) => format!("running since {}", moment::show(*since)),
        (None, _) if job.runs_here == Some(false) => "left to another node".to_owned(),
        (None, None) => "has not run yet".to_owned(),
        (None, Some(run)) => {
            let (started, took) = (moment::show(run.started_at), run.took_millis);
            let did = match &run.did {
                None => "failed".to_owned(),
                Some(counts) => {
                    let counts = counts.iter().map(|(name, count)| format!("{name} {count}"));
                    counts.collect::<Vec<_>>().join(", ")
                }
            };
            let did = if did.is_empty() { did } else { format!(": {did}") };
            format!("ran {started}, took {took} ms{did}")
        }
    };
    let error = job.last_error.as_ref().map(|failed| {
        format!("; last error {}: {}", moment::show(failed.at), plain(&failed.error))
    });
    [name.clone(), period, state + &error.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(state: Value, period: &str, expected: &str) {
        let mut job = json!({"name": "expire", "purpose": "Removes.", "scope": "one_node"});
        job.as_object_mut()
            .expect("an object")
            .append(&mut state.as_object().expect("too").clone());
        let job = serde_json::from_value(job).expect("a job");
        assert_eq!(row(&job), ["expire", period, expected]);
    }

    #[test]
    fn a_row_tells_the_state_of_a_job() {
        check(json!({}), "on request", "has not run yet");
        check(
            json!({"period_millis": 60_000, "runs_here": false}),
            "every 1m",
            "left to another node",
        );
        check(
            json!({"period_millis": 60_000, "running_since": 0}),
            "every 1m",
            "running since 1970-01-01T00:00:00Z",
        );
        let run = json!({"started_at": 1, "took_millis": 3, "did": {"steps": 2, "x": 1}});
        check(
            json!({"last_run": run}),
            "on request",
            "ran 1970-01-01T00:00:01Z, took 3 ms: steps 2, x 1",
        );
        let run = json!({"started_at": 1, "took_millis": 3});
        check(
            json!({"last_run": run, "last_error": {"at": 2, "error": "no \u{1b}disk"}}),
            "on request",
            "ran 1970-01-01T00:00:01Z, took 3 ms: failed; \
             last error 1970-01-01T00:00:02Z: no disk",
        );
    }
}
