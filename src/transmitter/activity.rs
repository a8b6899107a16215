//! The activity of Receivers, by which idle streams are paused (SSF §8.1.1 `inactivity_timeout`).

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    clock,
    domain::{
        id::{ProviderName, StreamId},
        provider::Provider,
        status::StreamStatus,
        stream::StreamConfig,
        time::Timestamp,
    },
    store::{ActivityRecord, ActivityStore as _, StoreError},
};

use super::{RequestError, Transmitter};

/// The most streams that one write records: few enough that an append behind it hardly waits.
const CHUNK: usize = 1000;

/// Recorded of a stream of which nobody asks: whenever somebody does, it was not before.
const UNASKED: Timestamp = Timestamp::from_millis(i64::MAX);

/// When streams were last active, of providers that ask for it. It is kept in memory and recorded
/// now and then, since no request should wait for a write.
#[derive(Debug)]
pub(super) struct Activity {
    timeouts: HashMap<ProviderName, Duration>,
    streams: Mutex<Streams>,
}

#[derive(Debug, Default)]
struct Streams {
    last: HashMap<StreamId, Last>,
    unrecorded: HashSet<StreamId>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    at: Timestamp,
    timeout: Duration,
}

impl Activity {
    pub(super) fn new<'a>(providers: impl Iterator<Item = &'a Arc<Provider>>) -> Self {
        let timeouts = providers.filter_map(|p| Some((p.name.clone(), p.inactivity_timeout?)));
        Self { timeouts: timeouts.collect(), streams: Mutex::default() }
    }

    /// Whether anyone asks.
    fn is_watched(&self) -> bool {
        !self.timeouts.is_empty()
    }

    /// The time of a stream begins anew.
    pub(super) fn touch(&self, stream: &StreamConfig, now: Timestamp) {
        let Some(timeout) = self.timeouts.get(&stream.provider) else { return };
        self.streams().set(&stream.id, Last { at: now, timeout: *timeout });
    }

    /// Takes in activity that was noted elsewhere and may be older than what is known.
    fn touch_at(&self, stream: &StreamConfig, at: Timestamp) {
        if self.last(&stream.id).is_none_or(|last| last < at) {
            self.touch(stream, at);
        }
    }

    /// The time of all these streams begins anew, as if each had been active now.
    pub(super) fn touch_all(&self, streams: &[Arc<StreamConfig>], now: Timestamp) {
        for stream in streams {
            self.touch(stream, now);
        }
    }

    /// Takes in what other nodes recorded.
    fn take_in(&self, record: ActivityRecord, all: &[Arc<StreamConfig>], now: Timestamp) {
        let recorded: HashMap<_, _> = record.last.into_iter().collect();
        let mut streams = self.streams();
        for stream in all {
            let Some(timeout) = self.timeouts.get(&stream.provider) else { continue };
            // One that nobody has recorded yet was made a moment ago.
            let at = recorded.get(&stream.id).map_or(now, |at| now.min(*at));
            let last = streams.last.entry(stream.id.clone());
            let last = last.or_insert(Last { at, timeout: *timeout });
            last.at = last.at.max(at);
        }
    }

    pub(super) fn forget(&self, id: &StreamId) {
        let mut streams = self.streams();
        streams.last.remove(id);
        streams.unrecorded.remove(id);
    }

    fn last(&self, id: &StreamId) -> Option<Timestamp> {
        self.streams().last.get(id).map(|last| last.at)
    }

    /// Takes up what an earlier process recorded. The time since its last record does not count:
    /// there was nobody to be asked. A stream without a record is taken for active now, as when a
    /// provider has just begun to ask. Returns what is to be recorded of streams whose provider asks
    /// no more, so that their old record will say nothing once it asks again.
    fn take_up(
        &self,
        record: ActivityRecord,
        all: &[Arc<StreamConfig>],
        now: Timestamp,
    ) -> Vec<(StreamId, Timestamp)> {
        let away = record.recorded_at.map(|at| now.since(at)).unwrap_or_default();
        let recorded: HashMap<_, _> = record.last.into_iter().collect();
        let mut unasked = Vec::new();
        let mut streams = self.streams();
        for stream in all {
            let at = recorded.get(&stream.id);
            match self.timeouts.get(&stream.provider) {
                Some(timeout) => {
                    let at = at.map_or(now, |at| now.min(*at + away));
                    streams.set(&stream.id, Last { at, timeout: *timeout });
                }
                None if at.is_some_and(|at| *at < UNASKED) => {
                    unasked.push((stream.id.clone(), UNASKED));
                }
                None => {}
            }
        }
        unasked
    }

    /// Some of what is not recorded; `true` if that is all.
    fn take_unrecorded(&self) -> (Vec<(StreamId, Timestamp)>, bool) {
        let mut streams = self.streams();
        let taken: Vec<_> = streams.unrecorded.iter().take(CHUNK).cloned().collect();
        for id in &taken {
            streams.unrecorded.remove(id);
        }
        let at = |id: StreamId| streams.last.get(&id).map(|last| (id.clone(), last.at));
        (taken.into_iter().filter_map(at).collect(), streams.unrecorded.is_empty())
    }

    fn put_back(&self, taken: impl IntoIterator<Item = StreamId>) {
        let mut streams = self.streams();
        for id in taken {
            if streams.last.contains_key(&id) {
                streams.unrecorded.insert(id);
            }
        }
    }

    /// For how long nobody has cared for a stream, if it is for too long.
    fn overdue(&self, id: &StreamId, now: Timestamp) -> Option<Duration> {
        self.streams().last.get(id).and_then(|last| last.overdue(now))
    }

    fn all_overdue(&self, now: Timestamp) -> Vec<StreamId> {
        let streams = self.streams();
        let overdue = streams.last.iter().filter(|(_, last)| last.overdue(now).is_some());
        overdue.map(|(id, _)| id.clone()).collect()
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams {
    fn set(&mut self, id: &StreamId, last: Last) {
        match self.last.get_mut(id) {
            Some(before) => *before = last,
            None => _ = self.last.insert(id.clone(), last),
        }
        if !self.unrecorded.contains(id) {
            self.unrecorded.insert(id.clone());
        }
    }
}

impl Last {
    fn overdue(self, now: Timestamp) -> Option<Duration> {
        let idle = now.since(self.at);
        (self.timeout <= idle).then_some(idle)
    }
}

impl Transmitter {
    /// Whether any provider stops streams that nobody cares for.
    pub fn watches_activity(&self) -> bool {
        self.activity.is_watched()
    }

    /// When a stream was last active, if its provider asks for that.
    pub fn last_activity(&self, id: &StreamId) -> Option<Timestamp> {
        self.activity.last(id)
    }

    /// To be called once, before anything is served.
    pub async fn take_up_activity(&self) -> Result<(), StoreError> {
        if self.watches_activity() {
            let record = self.store.activity().await?;
            let all = self.directory.all(|_| true);
            let unasked = self.activity.take_up(record, &all, clock::now());
            for some in unasked.chunks(CHUNK) {
                self.store.record_activity(some.to_vec(), None).await?;
            }
        }
        Ok(())
    }

    /// Counts accepted pushes as activity. The specification does not demand it (SSF §8.1.1), but a
    /// Receiver that accepts what it is sent is not inactive, and pausing its stream would only harm.
    fn take_in_pushes(&self) {
        for (id, at) in self.registry.take_accepted() {
            // A stream that was deleted meanwhile has no activity.
            if let Some(stream) = self.directory.stream(&id) {
                self.activity.touch_at(&stream, at);
            }
        }
    }

    /// Records the activity seen since the last call, and returns how many streams it is of.
    pub async fn record_activity(&self) -> Result<usize, StoreError> {
        self.take_in_pushes();
        let (mut done, mut streams) = (false, 0);
        while !done {
            // Read before what is taken: what comes in between is then recorded, or counts as later.
            let now = clock::now();
            let (taken, all) = self.activity.take_unrecorded();
            let ids: Vec<_> = taken.iter().map(|(id, _)| id.clone()).collect();
            streams += ids.len();
            // Activity that other nodes have seen but not recorded yet may be lost with them.
            let recorded_at = all.then_some(now - self.sharing.activity_lag);
            let recorded = self.store.record_activity(taken, recorded_at).await;
            if recorded.is_err() {
                self.activity.put_back(ids);
            }
            recorded?;
            done = all;
        }
        Ok(streams)
    }

    /// Pauses each enabled stream that nobody has cared for in too long. Of several nodes, each judges
    /// the streams that it serves, by what all have recorded; since others may have seen something
    /// that they will record, that is so much later.
    /// Returns how many were paused.
    pub async fn pause_inactive(&self, ages_by: Timestamp) -> Result<usize, RequestError> {
        let (now, mut paused) = (clock::now(), 0);
        self.take_in_pushes();
        if self.sharing.change_feed.is_enabled() {
            let record = self.store.activity().await?;
            self.activity.take_in(record, &self.directory.all(|_| true), now);
        }
        let judged_at = ages_by.min(now) - self.sharing.activity_lag;
        for id in self.activity.all_overdue(judged_at) {
            let stream = self.directory.stream(&id);
            let served = self.sharing.lease.serves(&id, clock::instant());
            if !served || stream.is_none_or(|stream| stream.status != StreamStatus::Enabled) {
                continue;
            }
            let Some(idle) = self.activity.overdue(&id, judged_at) else { continue };
            let reason = format!("no activity for {} s (inactivity_timeout)", idle.as_secs());
            let still = |_: &StreamConfig| self.activity.overdue(&id, judged_at).is_some();
            match self.suspend(&id, &reason, still).await {
                Ok(done) => paused += usize::from(done),
                // The stream was deleted meanwhile.
                Err(RequestError::StreamNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(paused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_mins(1);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn watching() -> Activity {
        let provider = Provider { inactivity_timeout: Some(TIMEOUT), ..Provider::example() };
        Activity::new([&Arc::new(provider)].into_iter())
    }

    fn stream(id: &str) -> Arc<StreamConfig> {
        Arc::new(StreamConfig::example(id))
    }

    fn overdue(activity: &Activity, now: Timestamp) -> String {
        let mut ids: Vec<_> =
            activity.all_overdue(now).into_iter().map(|id| id.to_string()).collect();
        ids.sort();
        ids.join(" ")
    }

    /// CFG-25 (SSF §8.1.1).
    #[test]
    fn each_touch_begins_the_time_anew() {
        let activity = watching();
        activity.touch(&stream("a"), at(0));
        activity.touch(&stream("b"), at(0));
        activity.touch(&stream("a"), at(40));
        assert_eq!(overdue(&activity, at(59)), "");
        assert_eq!(overdue(&activity, at(60)), "b");
        assert_eq!(overdue(&activity, at(99)), "b");
        activity.forget(&stream("b").id);
        assert_eq!(overdue(&activity, at(100)), "a");
        assert_eq!(activity.overdue(&stream("a").id, at(100)), Some(TIMEOUT));
    }

    #[test]
    fn nobody_is_watched_where_nobody_asks() {
        let activity = Activity::new([&Arc::new(Provider::example())].into_iter());
        activity.touch(&stream("a"), at(0));
        assert!(!activity.is_watched());
        assert_eq!(overdue(&activity, at(1_000_000)), "");
        assert_eq!(activity.take_unrecorded(), (vec![], true));
    }

    #[test]
    fn what_was_seen_is_recorded_once() {
        let activity = watching();
        activity.touch(&stream("a"), at(1));
        activity.touch(&stream("a"), at(2));
        let taken = vec![(stream("a").id.clone(), at(2))];
        assert_eq!(activity.take_unrecorded(), (taken.clone(), true));
        assert_eq!(activity.take_unrecorded(), (vec![], true));
        // The write failed.
        activity.put_back([stream("a").id.clone(), stream("gone").id.clone()]);
        assert_eq!(activity.take_unrecorded(), (taken, true));
        for n in 0..=CHUNK {
            activity.touch(&stream(&format!("s{n}")), at(3));
        }
        let (taken, all) = activity.take_unrecorded();
        assert_eq!((taken.len(), all), (CHUNK, false));
        let (taken, all) = activity.take_unrecorded();
        assert_eq!((taken.len(), all), (1, true));
    }

    /// An outage of ours must not stop the streams of those who could not reach us.
    #[test]
    fn time_without_a_daemon_does_not_count() {
        let activity = watching();
        let last = vec![(stream("a").id.clone(), at(0)), (stream("b").id.clone(), at(90))];
        let record = ActivityRecord { last, recorded_at: Some(at(50)) };
        let unasked = activity.take_up(record, &["a", "b", "new"].map(stream), at(1000));
        assert!(unasked.is_empty());
        assert_eq!(overdue(&activity, at(1009)), "");
        assert_eq!(overdue(&activity, at(1010)), "a", "50 s of its 60 had gone");
        assert_eq!(overdue(&activity, at(1060)), "a b new", "no record lies in the future");
        assert_eq!(activity.take_unrecorded().0.len(), 3, "it counts from the next record on");
    }

    #[test]
    fn what_another_node_saw_counts_as_well() {
        let activity = watching();
        activity.touch(&stream("a"), at(50));
        activity.touch(&stream("b"), at(10));
        let last = [("a", 20), ("b", 40), ("c", 30)];
        let last = last.map(|(id, secs)| (stream(id).id.clone(), at(secs))).to_vec();
        let record = ActivityRecord { last, recorded_at: None };
        activity.take_in(record, &["a", "b", "c", "new"].map(stream), at(60));
        assert_eq!(overdue(&activity, at(90)), "c");
        assert_eq!(overdue(&activity, at(100)), "b c");
        assert_eq!(overdue(&activity, at(110)), "a b c");
        activity.touch_all(&["a", "b"].map(stream), at(110));
        assert_eq!(overdue(&activity, at(120)), "c new");
    }

    #[test]
    fn a_provider_that_asks_again_begins_anew() {
        let elsewhere = |id| {
            let provider = "other".parse().expect("a valid name");
            Arc::new(StreamConfig { provider, ..StreamConfig::example(id) })
        };
        let activity = watching();
        let all = ["a", "b", "c"].map(elsewhere);
        let last = vec![(all[0].id.clone(), at(0)), (all[1].id.clone(), UNASKED)];
        let record = ActivityRecord { last, recorded_at: Some(at(1000)) };
        let unasked = vec![(all[0].id.clone(), UNASKED)];
        assert_eq!(activity.take_up(record, &all, at(1000)), unasked);
        let asked = vec![(stream("a").id.clone(), UNASKED)];
        let record = ActivityRecord { last: asked, recorded_at: Some(at(900)) };
        activity.take_up(record, &[stream("a")], at(1000));
        assert_eq!(overdue(&activity, at(1059)), "");
        assert_eq!(overdue(&activity, at(1060)), "a");
    }
}
