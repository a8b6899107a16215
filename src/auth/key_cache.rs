//! The decision whether the cached keys are good enough or a fetch is due. Pure;
//! [`super::JwksSource`] performs it.
//!
//! Anybody can name an unknown `kid` in a token and so cause a fetch. Therefore at most one fetch
//! begins in each interval.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::verification_keys::VerificationKeys;

/// How long keys are used, and how often they are fetched.
///
/// Invariant: `interval_min <= max_age <= keep`, which the configuration checks.
#[derive(Debug, Clone, Copy)]
pub struct KeyLimits {
    /// The age at which the keys are fetched again.
    pub max_age: Duration,
    /// How long old keys are used while fetches fail.
    pub keep: Duration,
    /// The shortest time between the beginnings of two fetches.
    pub interval_min: Duration,
}

#[derive(Debug)]
pub(super) struct KeyCache {
    limits: KeyLimits,
    keys: Option<(Arc<VerificationKeys>, Instant)>,
    /// The beginning and the state of the last fetch.
    last: Option<(Instant, Fetch)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetch {
    UnderWay,
    Failed,
    Done,
}

/// The decision about a token that names a key.
#[derive(Debug)]
pub(super) enum Advice {
    /// Use the set. It has the key, or it is up to date and does not have it.
    Use(Arc<VerificationKeys>),
    /// Use the set, which has the key, and fetch a new one in the background.
    UseAndFetch(Arc<VerificationKeys>),
    /// Wait for the fetch that is due or under way.
    Fetch,
    /// No judgement is possible, and no fetch begins before this time is over.
    Unavailable(Duration),
}

impl KeyCache {
    pub(super) fn new(limits: KeyLimits) -> Self {
        Self { limits, keys: None, last: None }
    }

    pub(super) fn advise(&self, kid: &str, now: Instant) -> Advice {
        let due = self.is_due(now);
        if let Some((keys, at)) = self.usable(now)
            && keys.has(kid)
        {
            let fresh = now.saturating_duration_since(*at) < self.limits.max_age;
            let keys = Arc::clone(keys);
            return if due && !fresh { Advice::UseAndFetch(keys) } else { Advice::Use(keys) };
        }
        if due || matches!(self.last, Some((_, Fetch::UnderWay))) {
            return Advice::Fetch;
        }
        self.without_fetch(kid, now).map_or_else(Advice::Unavailable, Advice::Use)
    }

    /// Decides for a request that has already waited for a fetch and does not wait again. The error
    /// is the time until the next fetch may begin.
    pub(super) fn without_fetch(
        &self,
        kid: &str,
        now: Instant,
    ) -> Result<Arc<VerificationKeys>, Duration> {
        match (self.usable(now), self.last) {
            (Some((keys, _)), last) if keys.has(kid) || matches!(last, Some((_, Fetch::Done))) => {
                Ok(Arc::clone(keys))
            }
            // After a failed fetch, the key may be a new one. The token is not at fault.
            (_, last) => {
                let since =
                    last.map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(at));
                Err(self.limits.interval_min.saturating_sub(since))
            }
        }
    }

    /// Begins a fetch. Returns `false` if none is due, for example because another one has just
    /// begun.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let due = self.is_due(now);
        if due {
            self.last = Some((now, Fetch::UnderWay));
        }
        due
    }

    /// Records the end of the fetch that was under way. Without keys it failed.
    pub(super) fn end(&mut self, keys: Option<VerificationKeys>, now: Instant) {
        let outcome = if keys.is_some() { Fetch::Done } else { Fetch::Failed };
        self.last = self.last.map(|(at, _)| (at, outcome));
        if let Some(keys) = keys {
            self.keys = Some((Arc::new(keys), now));
        }
    }

    /// Tells whether a fetch may begin. A fetch that never ended does not prevent the next one.
    fn is_due(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|(at, _)| self.limits.interval_min <= now.saturating_duration_since(at))
    }

    fn usable(&self, now: Instant) -> Option<&(Arc<VerificationKeys>, Instant)> {
        let keys = self.keys.as_ref();
        keys.filter(|(_, at)| now.saturating_duration_since(*at) < self.limits.keep)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        clock,
        signing::{algorithm::Algorithm, keys::SigningKey},
    };

    const LIMITS: KeyLimits = KeyLimits {
        max_age: Duration::from_mins(10),
        keep: Duration::from_hours(1),
        interval_min: Duration::from_secs(10),
    };

    fn one_key() -> (VerificationKeys, String) {
        let key = SigningKey::example(Algorithm::Es256);
        let jwk = serde_json::to_value(key.public_jwk()).expect("JSON");
        let kid = jwk["kid"].as_str().expect("a name").to_owned();
        let set = VerificationKeys::from_json(json!({"keys": [jwk]}).to_string().as_bytes());
        (set.expect("a JWK Set"), kid)
    }

    fn fetched(at: Instant) -> (KeyCache, String) {
        let (keys, kid) = one_key();
        let mut cache = KeyCache::new(LIMITS);
        assert!(cache.begin(at));
        cache.end(Some(keys), at);
        (cache, kid)
    }

    /// Returns the advice as a word, and the time to wait in seconds.
    fn said(advice: Advice) -> (&'static str, u64) {
        match advice {
            Advice::Use(_) => ("use", 0),
            Advice::UseAndFetch(_) => ("use and fetch", 0),
            Advice::Fetch => ("fetch", 0),
            Advice::Unavailable(wait) => ("unavailable", wait.as_secs()),
        }
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn keys_are_used_then_renewed_in_the_background_then_waited_for() {
        let start = clock::instant();
        let (cache, kid) = fetched(start);
        let at = |after| said(cache.advise(&kid, start + secs(after))).0;
        assert_eq!(at(0), "use");
        assert_eq!(at(599), "use");
        assert_eq!(at(600), "use and fetch");
        assert_eq!(at(3599), "use and fetch");
        assert_eq!(at(3600), "fetch");
    }

    /// AUTH-03: an unknown `kid` causes one fetch in each interval, however often it comes.
    #[test]
    fn an_unknown_key_causes_one_fetch_in_an_interval() {
        let start = clock::instant();
        let (mut cache, _) = fetched(start);
        assert_eq!(said(cache.advise("new", start + secs(9))).0, "use");
        let later = start + secs(10);
        assert_eq!(said(cache.advise("new", later)).0, "fetch");
        assert!(cache.begin(later));
        assert!(!cache.begin(later), "one at a time");
        // Other requests wait for the fetch that is under way.
        assert_eq!(said(cache.advise("new", later)).0, "fetch");
        cache.end(Some(one_key().0), later);
        assert_eq!(said(cache.advise("new", later + secs(9))).0, "use");
    }

    #[test]
    fn while_the_server_is_down_known_keys_are_used_and_others_are_unavailable() {
        let start = clock::instant();
        let (mut cache, kid) = fetched(start);
        let later = start + secs(700);
        assert!(cache.begin(later));
        cache.end(None, later + secs(5));
        assert_eq!(said(cache.advise(&kid, later + secs(6))).0, "use");
        assert_eq!(said(cache.advise("new", later + secs(6))), ("unavailable", 4));
        assert_eq!(cache.without_fetch("new", later + secs(6)).err(), Some(secs(4)));
        assert_eq!(said(cache.advise(&kid, start + secs(3601))).0, "fetch");
    }

    #[test]
    fn without_keys_the_advice_is_to_fetch_or_to_wait() {
        let start = clock::instant();
        let mut cache = KeyCache::new(LIMITS);
        assert_eq!(said(cache.advise("k", start)).0, "fetch");
        assert!(cache.begin(start));
        // This fetch never ended.
        assert_eq!(cache.without_fetch("k", start + secs(3)).err(), Some(secs(7)));
        assert!(!cache.begin(start + secs(9)));
        assert!(cache.begin(start + secs(10)));
        cache.end(None, start + secs(10));
        assert_eq!(said(cache.advise("k", start + secs(11))), ("unavailable", 9));
    }
}
