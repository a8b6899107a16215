//! The table of metrics. Each entry names a metric and becomes a function that records it, with the
//! metric's help text and labels.

mod define;
mod label;

use std::{sync::OnceLock, time::Duration};

use metrics::Unit;
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

pub use self::{
    define::GaugeGuard,
    label::{ListenerLabel, MethodLabel, SourceLabel, StatusClass},
};
use self::{
    define::{MetricValue, at_zero, begin_unlabelled, describe, metric, metrics},
    label::Label,
};
use crate::domain::{id::ProviderName, reason::Reason};

// The doc comment is the help text that operators read on `/metrics`.
metrics! {
    // Intake.

    /// Events that were read from publishers, including events that were then rejected or already
    /// known.
    counter "ssfd_events_ingested_total" =
        events_ingested(provider: &ProviderName, source: SourceLabel) by count: usize;
    /// Entries that were not valid events, by what was wrong.
    counter "ssfd_events_rejected_total" =
        events_rejected(provider: &ProviderName, reason: &'static str);
    /// Deviations of events from the definition of their type, by the strength of the requirement:
    /// MUST or SHOULD.
    counter "ssfd_events_findings_total" =
        event_finding(provider: &ProviderName, severity: &'static str);
    /// Events that were dropped because their publisher's id was already known.
    counter "ssfd_events_duplicate_total" = events_duplicate(provider: &ProviderName);
    /// Events that no stream wanted.
    counter "ssfd_events_unmatched_total" = events_unmatched(provider: &ProviderName);
    /// Events that a stream did not get although it asked for their type when they came, counted once
    /// for each stream, by reason.
    counter "ssfd_events_suppressed_total" =
        events_suppressed(provider: &ProviderName, reason: Reason) by count: usize;
    /// 1 if the Redis stream that publishers write to can be read, 0 if not.
    gauge "ssfd_ingest_connected" = ingest_connected(partition: &str) is connected: bool;

    /// 1 if the Redis that publishers write to shows the position and takes rejected entries, 0 if it
    /// refuses writes. Reading goes on in either case.
    gauge "ssfd_ingest_writable" = ingest_writable(partition: &str) is writable: bool;
    /// Entries that were trimmed or deleted before they were read.
    counter "ssfd_ingest_entries_missing_total" =
        ingest_entries_missing(partition: &str) by count: u64;
    /// Rejected entries that could not be written to `<key>:rejected`.
    counter "ssfd_rejected_unrecorded_total" = rejected_unrecorded(provider: &ProviderName);

    // Sources.

    /// Requests to sources, by outcome.
    counter "ssfd_source_requests_total" = source_requests(
        provider: &ProviderName, source: &str, outcome: &'static str
    ) by count: usize;
    /// Requests to sources that were refused because of their credential, by reason.
    counter "ssfd_source_auth_failures_total" = source_auth_failures(
        provider: &ProviderName, source: &str, reason: &'static str
    ) by count: usize;
    /// Results of native records, by outcome. A record may have several results. `time_ahead` counts
    /// records whose time was replaced by that of their receipt, beside their results.
    counter "ssfd_source_records_total" = source_records(
        provider: &ProviderName, source: &str, outcome: &'static str
    ) by count: usize;
    /// Results of native records that a rule emitted or rejected.
    counter "ssfd_source_rules_total" = source_rule(
        provider: &ProviderName, source: &str, rule: &str, outcome: &'static str
    );
    /// Events of a source that wait for an operator, because more came in a minute than the source may
    /// emit.
    gauge "ssfd_source_held" = source_held(provider: &ProviderName, source: &str) is events: usize;
    /// Rounds of polls of a source, by outcome: `complete`, `continued` if the provider may have more for the
    /// next round, or the reason why the round failed.
    counter "ssfd_source_poll_rounds_total" = source_poll_rounds(
        provider: &ProviderName, source: &str, outcome: &'static str
    ) by count: usize;
    /// Events of polled records: `new`, or `known` from a webhook or an earlier round.
    counter "ssfd_source_poll_events_total" = source_poll_events(
        provider: &ProviderName, source: &str, result: &'static str
    ) by count: usize;
    /// Time since all records of a polled URL were taken in, or the age of the newest one that was. 0 on
    /// nodes that do not poll.
    gauge "ssfd_source_poll_lag_seconds" =
        source_poll_lag(provider: &ProviderName, source: &str, url: &str) is lag: Duration;

    // Agents.

    /// Requests of agents, by request (`challenge`, `check_in`, `enrol`) and outcome.
    counter "ssfd_agent_requests_total" = agent_requests(
        provider: &ProviderName, agents: &str, request: &'static str, outcome: &'static str
    ) by count: usize;
    /// Answers of agents that were refused, by reason. `clock` is a device whose clock is wrong.
    counter "ssfd_agent_refusals_total" = agent_refusals(
        provider: &ProviderName, agents: &str, reason: &'static str
    ) by count: usize;
    /// Changes of the status of devices that were published, by the new status.
    counter "ssfd_device_changes_total" = device_changes(
        provider: &ProviderName, agents: &str, status: &'static str
    ) by count: usize;
    /// Devices, by status, as the node that sweeps them counted them last. Quarantined and revoked devices
    /// have no other status here.
    gauge "ssfd_devices" = devices(
        provider: &ProviderName, agents: &str, status: &'static str
    ) is count: usize;
    /// Devices that have not checked in for too long and wait for an operator, because they are too many.
    gauge "ssfd_agent_losses_held" =
        agent_losses_held(provider: &ProviderName, agents: &str) is devices: usize;

    // Store.

    /// SETs that became durable in an outbox.
    counter "ssfd_sets_appended_total" =
        sets_appended(provider: &ProviderName) by count: usize;
    /// Unsettled SETs.
    gauge "ssfd_backlog_sets" = backlog_sets(provider: &ProviderName) is sets: u64;
    /// Age of the oldest unsettled SET, 0 if there is none.
    gauge "ssfd_backlog_oldest_seconds" =
        backlog_oldest(provider: &ProviderName) is age: Duration;
    /// The events that publishers may send: 0 all, 1 none over HTTP, 2 none.
    gauge "ssfd_backlog_pressure" = backlog_pressure(provider: &ProviderName) is level: u64;
    /// Events over HTTP that were refused because of the backlog.
    counter "ssfd_events_refused_total" = events_refused(provider: &ProviderName) by count: usize;
    /// 1 if the Redis servers of the store may forget accepted events when their power is cut, and the
    /// operator has accepted that; otherwise 0.
    gauge "ssfd_store_loss_accepted" = store_loss_accepted() is accepted: bool;
    /// 1 while fewer replicas than `store.redis.wait_replicas` have the newest writes, otherwise 0.
    gauge "ssfd_store_replicas_missing" = store_replicas_missing() is missing: bool;
    /// 1 while the store serves, by its last calls; otherwise 0.
    gauge "ssfd_store_serves" = store_serves() is serves: bool;
    /// 1 while the store takes new events, otherwise 0.
    gauge "ssfd_store_takes_events" = store_takes_events() is takes: bool;
    /// Calls of the store that failed.
    counter "ssfd_store_errors_total" = store_error(operation: &'static str);

    // Signing.

    /// SETs that were signed.
    counter "ssfd_signatures_total" =
        signatures(provider: &ProviderName, algorithm: &'static str) by count: usize;
    /// Time to sign one batch.
    histogram "ssfd_sign_batch_seconds" = sign_batch_duration() of took: Duration;
    /// SETs in one batch that was signed.
    histogram "ssfd_sign_batch_sets" = sign_batch_sets() of sets: usize;

    // Delivery.

    /// SETs that Receivers accepted.
    counter "ssfd_sets_delivered_total" =
        sets_delivered(provider: &ProviderName, method: MethodLabel) by count: usize;
    /// SETs that went to the dead letters, by reason.
    counter "ssfd_sets_dead_total" =
        sets_dead(provider: &ProviderName, reason: Reason) by count: usize;
    /// Dead letters in the store, by reason.
    gauge "ssfd_dead_letters" = dead_letters(provider: &ProviderName, reason: &str) is sets: u64;
    /// Dead letters that an operator put back into their outbox.
    counter "ssfd_sets_redriven_total" = sets_redriven(provider: &ProviderName) by count: usize;
    /// SETs, sent or dead, that an operator replayed.
    counter "ssfd_sets_replayed_total" = sets_replayed(provider: &ProviderName) by count: usize;
    /// Push attempts, by outcome.
    counter "ssfd_push_attempts_total" =
        push_attempt(provider: &ProviderName, outcome: &'static str);
    /// Pushes that were accepted with a 2xx other than the 202 of RFC 8935 §2.2.
    counter "ssfd_push_deviations_total" = push_deviation(provider: &ProviderName);
    /// Duration of one push attempt, from the request to the end of the response or the failure.
    histogram "ssfd_push_duration_seconds" =
        push_duration(provider: &ProviderName) of took: Duration;
    /// Age of a SET when its Receiver accepted it, counted from the acceptance of its event.
    histogram "ssfd_set_age_seconds" =
        set_age(provider: &ProviderName, method: MethodLabel) of age: Duration;
    /// Open connections to Receivers, and connections that are being opened.
    held "ssfd_push_connections" = push_connection();
    /// Look-ups of Receivers' host names that are under way.
    held "ssfd_push_look_ups" = push_look_up();
    /// Streams with an actor, which are those with SETs to push.
    held "ssfd_stream_actors" = stream_actor();
    /// Streams whose endpoint cannot be reached, so that it is only probed.
    held "ssfd_endpoints_cut_off" = endpoint_cut_off();
    /// Streams that were paused because their endpoint was at fault, by the outcome of its last
    /// attempt.
    counter "ssfd_streams_paused_total" =
        stream_paused(provider: &ProviderName, outcome: &'static str);
    /// Polls that wait for a SET.
    held "ssfd_long_polls" = long_poll();
    /// Polls that were answered early because a newer poll of the stream took their place.
    counter "ssfd_long_polls_displaced_total" = long_poll_displaced();

    // Streams.

    /// Changes of a stream's status, by the new status and by who made the change: the Receiver or
    /// the Transmitter.
    counter "ssfd_status_changes_total" =
        status_change(provider: &ProviderName, status: &'static str, by: &'static str);

    // Cluster.

    /// Live nodes that this node knows.
    gauge "ssfd_cluster_nodes" = cluster_nodes() is nodes: usize;
    /// Slots, of 256, whose streams this node delivers.
    gauge "ssfd_cluster_slots" = cluster_slots() is slots: usize;
    /// Redis streams of publishers that this node reads, if there are several nodes.
    gauge "ssfd_cluster_partitions" = cluster_partitions() is partitions: usize;
    /// Time since the lease of this node was last confirmed, 0 if it has none.
    gauge "ssfd_cluster_lease_age_seconds" = cluster_lease_age() is age: Duration;

    // Credentials.

    /// Credentials that were refused, by reason.
    counter "ssfd_credentials_refused_total" =
        credentials_refused(provider: &ProviderName, reason: &'static str) by count: usize;
    /// Answers of authorization servers, by request and kind of answer: `ok` or the reason why it
    /// cannot be used.
    counter "ssfd_authorization_server_answers_total" = authorization_server_answers(
        provider: &ProviderName, request: &'static str, answer: &'static str
    ) by count: usize;
    /// Requests that were answered 429 because of a rate of `public.rates`, by the rate, or because their
    /// Receiver does not read its answers or does not end its bodies (`unread`).
    counter "ssfd_http_limited_total" = http_limited(rate: &'static str) by count: usize;

    // HTTP and process.

    /// Log lines that were lost, because too many waited to be written (`queue`) or because they could
    /// not be written (`write`).
    counter "ssfd_log_lines_lost_total" = log_lines_lost(why: &'static str) by count: usize;

    /// HTTP requests answered, by listener and class of status.
    counter "ssfd_http_requests_total" = http_request(listener: ListenerLabel, status: StatusClass);
    /// Long-lived tasks that ended unexpectedly and were started again.
    counter "ssfd_tasks_restarted_total" = task_restarted();
    /// Always 1; the label has the version.
    gauge "ssfd_build_info" = build_info(version: &'static str) is running: bool;
}

/// The shortest bucket is a push over loopback, the longest a slow Receiver within its deadline.
const DURATION_BUCKETS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The buckets go from immediate delivery over each step of the retry schedule to the age at which
/// a SET is given up.
const AGE_BUCKETS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 21600.0,
    86400.0, 259_200.0,
];

/// Numbers of SETs in a batch, in powers of two.
const SIZE_BUCKETS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// How often the handle's `run_upkeep` is to be called: what histograms record piles up until then,
/// and a scrape, which would do it too, may never come.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Starts recording. The recorder belongs to the process: several daemons in one process, as in
/// tests, share it, and each call returns the same handle. `/metrics` serves the handle's
/// `render()`.
pub fn install() -> Result<PrometheusHandle, &'static BuildError> {
    static INSTALLED: OnceLock<Result<PrometheusHandle, BuildError>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let recorder = recorder()?;
        let handle = recorder.handle();
        ::metrics::set_global_recorder(recorder)?;
        describe();
        begin_unlabelled();
        build_info(env!("CARGO_PKG_VERSION"), true);
        for why in ["queue", "write"] {
            log_lines_lost(why, 0);
        }
        Ok(handle)
    });
    installed.as_ref().cloned()
}

/// Makes the series of a provider, with the value 0, so that an alert can rely on them before anything
/// happens.
pub fn begin_provider(provider: &ProviderName) {
    for begin in [
        at_zero::events_duplicate,
        at_zero::events_unmatched,
        at_zero::events_refused,
        at_zero::rejected_unrecorded,
        at_zero::sets_appended,
        at_zero::sets_redriven,
        at_zero::sets_replayed,
        at_zero::push_deviation,
    ] {
        begin(provider);
    }
    for source in [SourceLabel::Redis, SourceLabel::Http] {
        at_zero::events_ingested(provider, source);
    }
    for method in [MethodLabel::Push, MethodLabel::Poll] {
        at_zero::sets_delivered(provider, method);
    }
    for reason in Reason::WITHOUT_SET {
        at_zero::events_suppressed(provider, reason);
    }
    for reason in Reason::DEAD {
        at_zero::sets_dead(provider, reason);
    }
    backlog_sets(provider, 0);
    backlog_oldest(provider, Duration::ZERO);
    backlog_pressure(provider, 0);
}

/// Makes the series of a Redis stream that publishers write to.
pub fn begin_partition(partition: &str) {
    ingest_connected(partition, false);
    // Nothing has been refused.
    ingest_writable(partition, true);
    at_zero::ingest_entries_missing(partition);
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let suffix = |suffix: &str| Matcher::Suffix(suffix.to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(suffix("_seconds"), &DURATION_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full("ssfd_set_age_seconds".to_owned()), &AGE_BUCKETS)?
        .set_buckets_for_metric(suffix("_sets"), &SIZE_BUCKETS)?
        .build_recorder();
    Ok(recorder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the text of `/metrics` after `record`, on a separate recorder.
    fn rendered(record: impl FnOnce()) -> String {
        let recorder = recorder().unwrap();
        ::metrics::with_local_recorder(&recorder, || {
            describe();
            record();
        });
        recorder.handle().render()
    }

    #[track_caller]
    fn check(record: impl FnOnce(), line: &str) {
        let rendered = rendered(record);
        assert!(rendered.lines().any(|l| l == line), "no line {line} in\n{rendered}");
    }

    fn acme() -> ProviderName {
        "acme".parse().unwrap()
    }

    #[test]
    fn each_metric_has_its_name_and_labels() {
        let acme = &acme();
        check(
            || events_ingested(acme, SourceLabel::Redis, 3),
            r#"ssfd_events_ingested_total{provider="acme",source="redis"} 3"#,
        );
        check(
            || events_rejected(acme, "subject"),
            r#"ssfd_events_rejected_total{provider="acme",reason="subject"} 1"#,
        );
        check(
            || event_finding(acme, "must"),
            r#"ssfd_events_findings_total{provider="acme",severity="must"} 1"#,
        );
        check(|| events_duplicate(acme), r#"ssfd_events_duplicate_total{provider="acme"} 1"#);
        check(|| events_unmatched(acme), r#"ssfd_events_unmatched_total{provider="acme"} 1"#);
        check(
            || events_suppressed(acme, Reason::Subject, 4),
            r#"ssfd_events_suppressed_total{provider="acme",reason="subject"} 4"#,
        );
        check(
            || ingest_connected("acme:0", true),
            r#"ssfd_ingest_connected{partition="acme:0"} 1"#,
        );
        check(|| sets_appended(acme, 5), r#"ssfd_sets_appended_total{provider="acme"} 5"#);
        check(|| backlog_sets(acme, 7), r#"ssfd_backlog_sets{provider="acme"} 7"#);
        check(|| backlog_pressure(acme, 1), r#"ssfd_backlog_pressure{provider="acme"} 1"#);
        check(|| events_refused(acme, 2), r#"ssfd_events_refused_total{provider="acme"} 2"#);
        check(
            || backlog_oldest(acme, Duration::from_millis(1500)),
            r#"ssfd_backlog_oldest_seconds{provider="acme"} 1.5"#,
        );
        check(|| store_error("append"), r#"ssfd_store_errors_total{operation="append"} 1"#);
        check(
            || signatures(acme, "RS256", 32),
            r#"ssfd_signatures_total{provider="acme",algorithm="RS256"} 32"#,
        );
        check(
            || sets_delivered(acme, MethodLabel::Poll, 2),
            r#"ssfd_sets_delivered_total{provider="acme",method="poll"} 2"#,
        );
        check(
            || sets_dead(acme, Reason::Expired, 1),
            r#"ssfd_sets_dead_total{provider="acme",reason="expired"} 1"#,
        );
        check(
            || dead_letters(acme, "expired", 3),
            r#"ssfd_dead_letters{provider="acme",reason="expired"} 3"#,
        );
        check(|| sets_redriven(acme, 2), r#"ssfd_sets_redriven_total{provider="acme"} 2"#);
        check(|| sets_replayed(acme, 4), r#"ssfd_sets_replayed_total{provider="acme"} 4"#);
        check(
            || push_attempt(acme, "timeout"),
            r#"ssfd_push_attempts_total{provider="acme",outcome="timeout"} 1"#,
        );
        check(|| push_deviation(acme), r#"ssfd_push_deviations_total{provider="acme"} 1"#);
        check(
            || status_change(acme, "paused", "transmitter"),
            r#"ssfd_status_changes_total{provider="acme",status="paused",by="transmitter"} 1"#,
        );
        check(
            || http_request(ListenerLabel::Public, 404.into()),
            r#"ssfd_http_requests_total{listener="public",status="4xx"} 1"#,
        );
        check(
            || credentials_refused(acme, "audience", 1),
            r#"ssfd_credentials_refused_total{provider="acme",reason="audience"} 1"#,
        );
        check(
            || authorization_server_answers(acme, "keys", "status_404", 0),
            r#"ssfd_authorization_server_answers_total{provider="acme",request="keys",answer="status_404"} 0"#,
        );
        check(|| http_limited("receiver", 2), r#"ssfd_http_limited_total{rate="receiver"} 2"#);
        check(|| cluster_nodes(3), "ssfd_cluster_nodes 3");
        check(|| cluster_slots(86), "ssfd_cluster_slots 86");
        check(|| cluster_partitions(2), "ssfd_cluster_partitions 2");
        check(
            || cluster_lease_age(Duration::from_millis(900)),
            "ssfd_cluster_lease_age_seconds 0.9",
        );
        check(|| build_info("0.1.0", true), r#"ssfd_build_info{version="0.1.0"} 1"#);
    }

    #[test]
    fn the_series_of_a_provider_and_of_a_partition_are_there_before_anything_happens() {
        let text = rendered(|| {
            begin_unlabelled();
            begin_provider(&acme());
            begin_partition("acme:0");
        });
        for line in [
            "ssfd_tasks_restarted_total 0",
            "ssfd_long_polls 0",
            r#"ssfd_events_ingested_total{provider="acme",source="http"} 0"#,
            r#"ssfd_events_refused_total{provider="acme"} 0"#,
            r#"ssfd_rejected_unrecorded_total{provider="acme"} 0"#,
            r#"ssfd_sets_delivered_total{provider="acme",method="push"} 0"#,
            r#"ssfd_sets_dead_total{provider="acme",reason="expired"} 0"#,
            r#"ssfd_events_suppressed_total{provider="acme",reason="subject"} 0"#,
            r#"ssfd_backlog_pressure{provider="acme"} 0"#,
            r#"ssfd_ingest_connected{partition="acme:0"} 0"#,
            r#"ssfd_ingest_writable{partition="acme:0"} 1"#,
            r#"ssfd_ingest_entries_missing_total{partition="acme:0"} 0"#,
        ] {
            assert!(text.lines().any(|l| l == line), "no line {line} in\n{text}");
        }
    }

    #[test]
    fn histograms_have_buckets_that_fit_what_they_measure() {
        let acme = &acme();
        check(
            || push_duration(acme, Duration::from_millis(4)),
            r#"ssfd_push_duration_seconds_bucket{provider="acme",le="0.005"} 1"#,
        );
        check(
            || set_age(acme, MethodLabel::Push, Duration::from_hours(5)),
            r#"ssfd_set_age_seconds_bucket{provider="acme",method="push",le="21600"} 1"#,
        );
        check(|| sign_batch_sets(32), r#"ssfd_sign_batch_sets_bucket{le="32"} 1"#);
        check(
            || sign_batch_duration(Duration::from_micros(400)),
            r#"ssfd_sign_batch_seconds_bucket{le="0.0005"} 1"#,
        );
    }

    #[test]
    fn a_long_poll_counts_until_it_ends() {
        check(
            || {
                let ended = long_poll();
                std::mem::forget(long_poll());
                drop(ended);
            },
            "ssfd_long_polls 1",
        );
        check(|| drop(stream_actor()), "ssfd_stream_actors 0");
    }

    #[test]
    fn the_help_text_is_the_doc_comment() {
        check(
            || events_unmatched(&acme()),
            "# HELP ssfd_events_unmatched_total Events that no stream wanted.",
        );
    }

    #[test]
    fn daemons_in_one_process_share_the_recorder() {
        let (one, other) = (install().unwrap(), install().unwrap());
        store_error("a test of its own");
        let line = r#"ssfd_store_errors_total{operation="a test of its own"} 1"#;
        assert!(one.render().contains(line) && other.render().contains(line));
        let version = env!("CARGO_PKG_VERSION");
        assert!(one.render().contains(&format!(r#"ssfd_build_info{{version="{version}"}} 1"#)));
    }
}
