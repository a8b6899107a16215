//! The promises in the doc comments of the store's traits, as one suite for every backend.

mod activity;
mod copy;
mod credentials;
mod devices;
mod incoming;
mod lanes;
mod ledger;
mod model;
mod opt_out;
mod outgoing;
mod polling;
mod records;
mod redis;
mod settled;
mod sqlite;
mod streams;
mod subjects;

use std::{sync::Arc, time::Duration};

use ssfd::{
    delivery::{
        lane::Lane,
        outbox::{Disposition, NewSet, OutboxQuery, PendingSet, Seq, SetKind, Settlement},
        poll::PollLimit,
    },
    domain::{
        audience::Audience,
        id::{Jti, StreamId},
        reason::Reason,
        secret::Secret,
        set::Origin,
        set_error::ErrCode,
        status::StreamStatus,
        stream::{Delivery, PushEndpoint, StreamConfig},
        subject::{format::SubjectFormat, list::DefaultSubjects},
        time::Timestamp,
    },
    store::{
        ActivityStore as _, Announcement, Append, AppendBatch, Appended, Archive as _,
        ClientStore as _, Expiry, Intake as _, Maintenance as _, Outbox as _, Step, Store,
        StoreError, Streams as _, TokenStore as _, slot::SlotSet,
    },
};
use uuid::Uuid;

use crate::harness::waiting::waiting_sets;

/// A place where a backend keeps things, for one test alone.
trait Backend {
    /// Opens the store there: the same one again once the one before was dropped.
    async fn open(&self) -> Arc<dyn Store> {
        self.try_open().await.expect("opens")
    }

    async fn try_open(&self) -> Result<Arc<dyn Store>, StoreError>;

    /// The same though it lacks something.
    async fn open_to_fill(&self) -> Arc<dyn Store>;
}

/// Runs every case of the suite on a backend, made anew for each.
macro_rules! contract {
    ($backend:expr; $($area:ident: $($case:ident),+;)+) => {
        $(mod $area {
            use super::*;

            $(#[tokio::test]
            async fn $case() {
                crate::store_contract::$area::$case($backend).await;
            })+
        })+
    };
}

/// The list of all cases, for `contract!` to run on one backend.
macro_rules! run_contract_on {
    ($backend:expr) => {
        $crate::store_contract::contract! { $backend;
            streams:
                a_stream_comes_back_as_it_was_given,
                a_receiver_has_no_more_streams_than_the_limit,
                an_id_is_given_once,
                a_change_from_an_older_version_is_a_conflict,
                a_discarding_change_empties_the_outbox,
                a_change_of_status_takes_the_place_of_the_announcement_before,
                a_change_of_delivery_makes_what_waits_due,
                a_retry_judged_before_a_change_is_due_at_once,
                a_deleted_stream_leaves_nothing;
            subjects:
                a_subject_is_listed_for_the_streams_that_it_matches,
                a_subject_is_listed_for_its_provider_alone,
                an_identical_subject_is_found_on_the_lists_of_those_who_removed_it,
                an_entry_holds_from_its_beginning_to_its_end,
                a_change_is_made_once,
                a_list_has_no_more_subjects_than_the_limit,
                a_list_has_no_more_shapes_than_the_limit,
                a_list_survives_a_restart_and_goes_with_its_stream,
                an_entry_that_has_ended_expires,
                a_subject_is_listed_by_each_of_its_identifiers,
                entries_with_an_identifier_in_common_come_and_go_apart,
                a_set_is_judged_by_each_identifier_of_its_event,
                a_set_about_a_removed_subject_is_discarded_instead_of_read,
                a_set_about_a_removed_subject_is_discarded_instead_of_polled,
                many_sets_about_removed_subjects_hold_no_poll_back,
                a_set_about_an_added_subject_is_read_until_its_removal_takes_effect;
            opt_out:
                an_account_that_opted_out_gets_no_more_until_it_opts_in,
                an_account_is_known_by_all_of_its_identifiers,
                what_a_provider_knows_of_an_account_is_its_own,
                a_choice_is_as_durable_as_its_batch;
            incoming:
                a_set_is_appended_once_by_its_jti,
                an_event_is_appended_once_by_its_publishers_id,
                an_id_may_be_remembered_for_longer_than_others,
                a_stream_that_takes_nothing_is_left_out,
                an_event_without_sets_is_new,
                an_event_of_several_steps_is_one_event,
                a_position_moves_with_its_batch_only,
                concurrent_appends_are_all_durable_in_order;
            outgoing:
                a_set_comes_back_as_it_was_appended,
                a_retry_keeps_the_set_through_a_restart,
                a_settled_set_does_not_wait,
                a_settled_set_stays_as_it_is,
                only_enabled_push_streams_with_something_due_have_work,
                a_stream_that_is_not_enabled_sends_its_announcement_alone,
                the_backlog_counts_what_waits_by_provider,
                what_is_settled_expires_and_what_waits_does_not,
                a_paused_stream_holds_the_newest_and_not_for_ever,
                more_than_one_call_of_expiry_is_announced;
            lanes:
                only_the_head_of_a_lane_is_read,
                kinds_do_not_wait_for_one_another,
                control_events_are_read_first_and_on_top,
                what_is_in_memory_is_passed_over,
                a_lane_waits_while_its_head_waits_for_a_retry,
                retries_and_new_sets_share_the_places,
                a_lane_goes_on_however_its_head_leaves,
                a_lane_of_removed_subjects_is_discarded_to_its_end,
                a_set_that_is_discarded_gives_its_place_to_the_next,
                what_was_put_off_is_due_once_the_stream_is_enabled_again;
            polling:
                a_poll_takes_what_is_due_control_events_first,
                what_was_taken_comes_again_when_its_time_is_up,
                a_poll_of_nothing_tells_whether_there_is_more,
                a_poll_is_bounded_in_bytes_but_takes_one_set_of_any_size,
                an_acknowledgement_settles_what_waits_and_ignores_the_rest,
                an_acknowledgement_of_one_stream_leaves_the_others,
                the_next_due_time_is_the_earliest_to_come,
                a_poll_stream_keeps_nothing_for_ever,
                a_lane_waits_for_what_was_handed_out_of_it,
                waits_for_a_time_ahead_can_be_forgotten,
                a_start_with_a_clock_behind_the_mark_makes_waits_due,
                results_of_the_old_clock_that_come_late_are_made_due,
                a_wait_that_is_longer_than_any_can_be_ends;
            activity:
                activity_is_recorded_and_goes_with_its_stream;
            settled:
                a_dead_letter_keeps_what_became_of_it,
                dead_letters_are_found_by_what_is_asked_for,
                going_from_page_to_page_comes_to_an_end,
                a_set_that_is_requeued_waits_behind_the_others,
                what_is_requeued_takes_its_place_in_its_lane,
                what_cannot_go_out_is_not_requeued,
                a_copy_goes_out_once_and_leaves_the_original,
                what_is_retained_is_read_from_a_time_or_a_place_on,
                times_of_other_streams_do_not_hide_what_is_retained,
                only_dead_letters_are_purged,
                each_provider_has_a_retention_of_its_own,
                what_is_discarded_leaves_its_reason_alone;
            ledger:
                a_record_comes_back_as_it_was_given,
                the_last_event_of_an_id_is_found,
                a_disabled_stream_is_recorded_as_one,
                a_record_stays_for_longer_than_the_sets,
                a_set_is_found_in_each_state;
            records:
                a_record_is_written_over_the_version_that_was_read,
                a_write_that_is_repeated_changes_nothing,
                a_version_is_never_given_twice,
                the_position_of_a_poll_is_moved_by_one_node,
                of_several_writers_one_wins,
                the_newer_record_stays,
                records_are_listed_by_kind_and_prefix_in_pages,
                a_record_expires,
                every_write_and_deletion_changes_the_state_of_the_records,
                a_record_goes_with_its_owner_and_the_youngest_stay,
                a_record_of_a_stream_goes_with_it,
                a_kind_that_is_not_known_is_kept_as_it_is,
                a_format_of_a_later_version_is_refused_by_name;
            credentials:
                a_grant_comes_back_as_it_was_given,
                a_grant_is_replaced_under_its_hash,
                a_revoked_grant_is_gone,
                a_grant_expires,
                a_client_comes_back_as_it_was_given,
                a_clients_tokens_are_its_own_and_bounded,
                a_removed_client_takes_its_tokens_along,
                the_latest_use_of_a_credential_stays_and_goes_with_it;
            devices:
                a_device_comes_back_as_it_was_given,
                of_two_writers_of_the_same_device_one_wins,
                a_token_is_found_by_its_hash_and_goes_with_its_device,
                devices_are_listed_by_provider_and_agents_in_pages,
                losses_are_held_until_they_are_released;
        }
    };
}
use {contract, run_contract_on};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn later(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

fn id(raw: &str) -> StreamId {
    raw.parse().expect("a valid stream id")
}

fn jti(raw: &str) -> Jti {
    raw.parse().expect("a valid jti")
}

/// An enabled poll stream of the Receiver `rx` at the provider `acme`.
fn poll_stream(name: &str) -> StreamConfig {
    StreamConfig {
        id: id(name),
        provider: "acme".parse().expect("a valid name"),
        receiver: "rx".parse().expect("a valid id"),
        audience: Audience::one("https://rx.example").expect("not empty"),
        events_requested: None,
        delivery: Delivery::Poll,
        description: None,
        default_subjects: DefaultSubjects::All,
        subject_format: SubjectFormat::AsPublished,
        status: StreamStatus::Enabled,
        reason: None,
        version: 1,
        created_at: NOW,
    }
}

fn push_stream(name: &str) -> StreamConfig {
    let secret = Secret::new("Bearer abc");
    let endpoint = PushEndpoint::new("https://rx.example/in?tenant=1", Some(secret), false);
    StreamConfig {
        delivery: Delivery::Push(endpoint.expect("a valid endpoint")),
        ..poll_stream(name)
    }
}

fn set(stream: &str, name: &str) -> NewSet {
    NewSet {
        stream: id(stream),
        jti: jti(name),
        lane: Lane::from_i64(-7),
        kind: SetKind::Event,
        claims: format!(r#"{{"jti":"{name}"}}"#).into(),
        identifiers: None,
    }
}

fn control(stream: &str, name: &str) -> NewSet {
    NewSet { kind: SetKind::Control, ..set(stream, name) }
}

fn announcement(stream: &str, name: &str) -> NewSet {
    NewSet { kind: SetKind::Announcement, ..set(stream, name) }
}

fn in_lane(lane: i64, set: NewSet) -> NewSet {
    NewSet { lane: Lane::from_i64(lane), ..set }
}

/// Asks for up to `limit` SETs, half of them retries.
fn up_to(limit: usize) -> OutboxQuery {
    OutboxQuery { busy: Vec::new(), fresh: limit - limit / 2, retries: limit / 2 }
}

fn event(sets: Vec<NewSet>) -> Append {
    let provider = "acme".parse().expect("a valid name");
    Append {
        provider,
        origin: origin(&sets),
        event_id: None,
        id_kept_longer: Duration::ZERO,
        sets,
        opt_out: None,
        record: None,
        step: Step::Whole,
    }
}

/// Another one for other SETs.
fn origin(sets: &[NewSet]) -> Origin {
    let jtis: Vec<_> = sets.iter().map(|set| set.jti.as_str()).collect();
    Origin::recorded(Uuid::new_v5(&Uuid::nil(), jtis.join(" ").as_bytes()), None)
}

fn event_with_id(event_id: &str, sets: Vec<NewSet>) -> Append {
    Append { event_id: Some(event_id.to_owned()), ..event(sets) }
}

fn new(streams: &[&str]) -> Appended {
    Appended::New(streams.iter().map(|name| id(name)).collect())
}

async fn create(store: &dyn Store, streams: Vec<StreamConfig>) {
    for stream in streams {
        store.create_stream(stream, 100).await.expect("created");
    }
}

/// Gives a stream, as it stands, another status; returns what it then is.
async fn turn(
    store: &dyn Store,
    stream: &StreamConfig,
    to: StreamStatus,
    announcement: Announcement,
) -> StreamConfig {
    let turned = stream.with_status(to, None);
    store.change_status(turned.clone(), announcement, NOW).await.expect("changed");
    turned
}

/// Appends events, in one batch.
async fn append(store: &dyn Store, events: Vec<Append>, now: Timestamp) -> Vec<Appended> {
    let batch = AppendBatch { events, position: None, now };
    store.append(batch, &|_| ()).await.expect("appended")
}

/// Appends each SET as an event of its own, in one batch, at [`NOW`].
async fn append_sets(store: &dyn Store, sets: Vec<NewSet>) {
    append(store, sets.into_iter().map(|set| event(vec![set])).collect(), NOW).await;
}

async fn pending(store: &dyn Store, stream: &str) -> Vec<PendingSet> {
    waiting_sets(store, &id(stream)).await
}

fn names(sets: &[PendingSet]) -> Vec<&str> {
    sets.iter().map(|set| set.jti.as_str()).collect()
}

/// Where a SET that waits stands.
async fn seq(store: &dyn Store, stream: &str, name: &str) -> Seq {
    let sets = pending(store, stream).await;
    sets.iter().find(|set| set.jti.as_str() == name).expect("it waits").seq
}

async fn settle(store: &dyn Store, stream: &str, seq: Seq, disposition: Disposition) {
    let settlements = vec![judged_now(store, stream, seq, disposition).await];
    store.settle(&id(stream), settlements, NOW).await.expect("settled");
}

/// A result that was judged by the stream as it is.
async fn judged_now(
    store: &dyn Store,
    stream: &str,
    seq: Seq,
    disposition: Disposition,
) -> Settlement {
    let stream = store.stream(&id(stream)).await.expect("readable");
    Settlement { seq, disposition, version: stream.map_or(1, |stream| stream.version) }
}

fn dead() -> Disposition {
    Disposition::Dead { reason: Reason::Refused(ErrCode::InvalidKey), detail: "unknown kid".into() }
}

fn retry_at(due_at: Timestamp) -> Disposition {
    Disposition::RetryAt { due_at, error: "unavailable: status 503".into() }
}
