//! How often verification may be requested (SSF §8.1.4.2). `min_verification_interval` holds for each
//! stream. A Receiver that deletes a stream does not get rid of the interval: the streams that it
//! creates afterwards wait for the rest of it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::domain::{
    id::{ProviderName, ReceiverId, StreamId},
    stream::StreamConfig,
    time::Timestamp,
    verification::wait_before,
};

/// After so many Receivers with a deleted stream, those are forgotten whose interval is over.
const DELETED_MAX: usize = 1024;

type Owner = (ProviderName, ReceiverId);

/// When each stream's Receiver last asked this node for a verification.
#[derive(Debug, Default)]
pub(super) struct VerificationPace(Mutex<Requests>);

#[derive(Debug, Default)]
struct Requests {
    streams: HashMap<StreamId, (Owner, Timestamp)>,
    /// The last request for any stream of a Receiver that is deleted.
    deleted: HashMap<Owner, Timestamp>,
}

impl VerificationPace {
    /// Admits a request, or returns how long the Receiver must wait. The interval runs from the last
    /// request that was admitted.
    pub(super) fn admit(
        &self,
        stream: &StreamConfig,
        now: Timestamp,
        interval: Duration,
    ) -> Result<(), Duration> {
        let mut requests = self.lock();
        let owner = (stream.provider.clone(), stream.receiver.clone());
        let own = requests.streams.get(&stream.id).map(|(_, at)| *at);
        // An older stream has nothing to do with one that was deleted.
        let inherited = requests.deleted.get(&owner).filter(|at| **at <= stream.created_at);
        let last = own.or(inherited.copied());
        if let Some(wait) = wait_before(last, now, interval) {
            return Err(wait);
        }
        if DELETED_MAX <= requests.deleted.len() {
            requests.deleted.retain(|_, at| now.since(*at) < interval);
        }
        requests.streams.insert(stream.id.clone(), (owner, now));
        Ok(())
    }

    /// Forgets a request that came to nothing, so that the Receiver may ask again at once.
    pub(super) fn undo(&self, id: &StreamId) {
        self.lock().streams.remove(id);
    }

    /// Forgets a stream that was deleted, but not the time of its last request.
    pub(super) fn forget(&self, id: &StreamId) {
        let mut requests = self.lock();
        if let Some((owner, at)) = requests.streams.remove(id) {
            let last = requests.deleted.entry(owner).or_insert(at);
            *last = at.max(*last);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn stream(id: &str, receiver: &str, created_at: i64) -> StreamConfig {
        let receiver = receiver.parse().expect("an id");
        StreamConfig { receiver, created_at: at(created_at), ..StreamConfig::example(id) }
    }

    fn secs(secs: u64) -> Result<(), Duration> {
        Err(Duration::from_secs(secs))
    }

    #[test]
    fn the_interval_holds_for_each_stream() {
        let pace = VerificationPace::default();
        let (one, other) = (stream("st_1", "rx", 0), stream("st_2", "rx", 0));
        assert_eq!(pace.admit(&one, at(100), INTERVAL), Ok(()));
        assert_eq!(pace.admit(&one, at(110), INTERVAL), secs(20));
        assert_eq!(pace.admit(&other, at(110), INTERVAL), Ok(()));
        assert_eq!(pace.admit(&one, at(130), INTERVAL), Ok(()));
        pace.undo(&one.id);
        assert_eq!(pace.admit(&one, at(131), INTERVAL), Ok(()));
    }

    #[test]
    fn a_stream_that_is_deleted_leaves_the_rest_of_its_interval_to_the_next_one() {
        let pace = VerificationPace::default();
        let (old, bystander) = (stream("st_1", "rx", 0), stream("st_2", "rx", 50));
        assert_eq!(pace.admit(&old, at(100), INTERVAL), Ok(()));
        pace.forget(&old.id);
        for n in 3..10 {
            let next = stream(&format!("st_{n}"), "rx", 100 + n);
            assert_eq!(pace.admit(&next, at(110), INTERVAL), secs(20));
            pace.forget(&next.id);
        }
        // Neither an older stream nor another Receiver has to wait.
        assert_eq!(pace.admit(&bystander, at(110), INTERVAL), Ok(()));
        assert_eq!(pace.admit(&stream("st_10", "other", 105), at(110), INTERVAL), Ok(()));
        assert_eq!(pace.admit(&stream("st_11", "rx", 105), at(130), INTERVAL), Ok(()));
    }

    #[test]
    fn receivers_whose_interval_is_over_are_forgotten() {
        let pace = VerificationPace::default();
        for n in 0..=DELETED_MAX {
            let stream = stream(&format!("st_{n}"), &format!("rx{n}"), 0);
            assert_eq!(pace.admit(&stream, at(100), INTERVAL), Ok(()));
            pace.forget(&stream.id);
        }
        assert_eq!(pace.admit(&stream("st_x", "rx", 0), at(200), INTERVAL), Ok(()));
        assert!(pace.lock().deleted.is_empty());
    }
}
