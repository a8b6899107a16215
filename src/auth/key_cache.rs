//! Whether the keys at hand will do, or are to be fetched. Decides only; `JwksSource` performs.
//!
//! A token may name any `kid`, so a fetch can be had for the asking: whatever comes, there is at most
//! one in each interval.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::verification_keys::VerificationKeys;

/// How long keys count, and how often they are fetched.
///
/// Invariant: `interval_min <= max_age <= keep`, which the configuration holds.
#[derive(Debug, Clone, Copy)]
pub struct KeyLimits {
    /// The age at which they are fetched again.
    pub max_age: Duration,
    /// How long they are used while they cannot be.
    pub keep: Duration,
    /// The least time between the beginnings of two fetches.
    pub interval_min: Duration,
}

#[derive(Debug)]
pub(super) struct KeyCache {
    limits: KeyLimits,
    keys: Option<(Arc<VerificationKeys>, Instant)>,
    /// When the last fetch began, and what became of it.
    last: Option<(Instant, Fetch)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetch {
    UnderWay,
    Failed,
    Done,
}

/// What to do about a token that names a key.
#[derive(Debug)]
pub(super) enum Advice {
    /// The set has the key, or is as new as any and has it not.
    Use(Arc<VerificationKeys>),
    /// The set has the key, and is to be fetched again in the meantime.
    UseAndFetch(Arc<VerificationKeys>),
    /// Wait for the fetch that is due or under way.
    Fetch,
    /// There is no telling, and no further try for so long.
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

    /// For whoever has waited for a fetch, and waits for no other; an error is how long until the
    /// next may be made.
    pub(super) fn without_fetch(
        &self,
        kid: &str,
        now: Instant,
    ) -> Result<Arc<VerificationKeys>, Duration> {
        match (self.usable(now), self.last) {
            (Some((keys, _)), last) if keys.has(kid) || matches!(last, Some((_, Fetch::Done))) => {
                Ok(Arc::clone(keys))
            }
            // Where the last fetch failed the key may well be a new one: that is no fault of the
            // token's.
            (_, last) => {
                let since =
                    last.map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(at));
                Err(self.limits.interval_min.saturating_sub(since))
            }
        }
    }

    /// `false` if none is due: another has just begun one.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let due = self.is_due(now);
        if due {
            self.last = Some((now, Fetch::UnderWay));
        }
        due
    }

    /// Records how the fetch ended that was under way; without keys it failed.
    pub(super) fn end(&mut self, keys: Option<VerificationKeys>, now: Instant) {
        let outcome = if keys.is_some() { Fetch::Done } else { Fetch::Failed };
        self.last = self.last.map(|(at, _)| (at, outcome));
        if let Some(keys) = keys {
            self.keys = Some((Arc::new(keys), now));
        }
    }

    /// One that never ended is given up once the next is due.
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

    /// In a word, and how long to wait.
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
    fn keys_are_used_then_renewed_in_passing_then_waited_for() {
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
        // Others wait for the one that is under way.
        assert_eq!(said(cache.advise("new", later)).0, "fetch");
        cache.end(Some(one_key().0), later);
        assert_eq!(said(cache.advise("new", later + secs(9))).0, "use");
    }

    #[test]
    fn while_the_server_is_down_known_keys_count_and_others_cannot_be_told() {
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
    fn without_any_keys_there_is_nothing_but_to_fetch_or_wait() {
        let start = clock::instant();
        let mut cache = KeyCache::new(LIMITS);
        assert_eq!(said(cache.advise("k", start)).0, "fetch");
        assert!(cache.begin(start));
        // A fetch that never ended.
        assert_eq!(cache.without_fetch("k", start + secs(3)).err(), Some(secs(7)));
        assert!(!cache.begin(start + secs(9)));
        assert!(cache.begin(start + secs(10)));
        cache.end(None, start + secs(10));
        assert_eq!(said(cache.advise("k", start + secs(11))), ("unavailable", 9));
    }
}
