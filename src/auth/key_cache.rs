//! The decision whether the cached keys are good enough or a fetch is due. Pure;
//! [`super::JwksSource`] performs it.
//!
//! Anybody can name an unknown `kid` in a token and so cause a fetch. Therefore at most one fetch
//! begins in each interval. Until a fetch began after a token was shown, nobody can say that the token
//! is bad, because its key may be new. Such a token must wait (503) and is never refused (401).

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{domain::grant::TokenHash, signing::verification_keys::VerificationKeys};

/// The most tokens with unknown keys that are remembered until the next fetch, and the most that are
/// known to be bad after it. A token that is not remembered must wait where it could be refused.
const TOKENS_MAX: usize = 256;

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
    /// Tokens with an unknown key that were shown since the last fetch began.
    waiting: HashSet<TokenHash>,
    /// Tokens that were shown before the last fetch began, and whose key it was to find.
    sought: HashSet<TokenHash>,
    /// Whether somebody will fetch as soon as the interval allows.
    is_scheduled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetch {
    UnderWay,
    Failed,
    Done,
}

/// A token, as far as the cache needs to know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) kid: &'a str,
    pub(super) token: &'a TokenHash,
}

/// The decision about a token that names a key.
#[derive(Debug)]
pub(super) enum Advice {
    /// Use the set. It has the key, or it was fetched after the token was shown and does not have it.
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
        Self {
            limits,
            keys: None,
            last: None,
            waiting: HashSet::new(),
            sought: HashSet::new(),
            is_scheduled: false,
        }
    }

    pub(super) fn advise(&mut self, shown: Shown<'_>, now: Instant) -> Advice {
        let due = self.is_due(now);
        if let Some((keys, at)) = self.usable(now)
            && keys.has(shown.kid)
        {
            let fresh = now.saturating_duration_since(*at) < self.limits.max_age;
            let keys = Arc::clone(keys);
            return if due && !fresh { Advice::UseAndFetch(keys) } else { Advice::Use(keys) };
        }
        if due || matches!(self.last, Some((_, Fetch::UnderWay))) {
            self.remember(shown.token);
            return Advice::Fetch;
        }
        self.without_fetch(shown, now).map_or_else(Advice::Unavailable, Advice::Use)
    }

    /// Decides for a request that has already waited for a fetch and does not wait again. The error
    /// is the time until the next fetch may begin.
    pub(super) fn without_fetch(
        &mut self,
        shown: Shown<'_>,
        now: Instant,
    ) -> Result<Arc<VerificationKeys>, Duration> {
        let was_sought =
            matches!(self.last, Some((_, Fetch::Done))) && self.sought.contains(shown.token);
        match self.usable(now) {
            Some((keys, _)) if keys.has(shown.kid) || was_sought => Ok(Arc::clone(keys)),
            // The key may be a new one. The token is not at fault.
            _ => {
                self.remember(shown.token);
                let since =
                    self.last.map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(at));
                Err(self.limits.interval_min.saturating_sub(since))
            }
        }
    }

    /// Tells whether the caller should fetch once the interval allows. Only one caller is told so
    /// until [`Self::begin`] is called.
    pub(super) fn schedule(&mut self) -> bool {
        !std::mem::replace(&mut self.is_scheduled, true)
    }

    /// Begins a fetch. Returns `false` if none is due, for example because another one has just
    /// begun.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let due = self.is_due(now);
        self.is_scheduled = false;
        if due {
            self.last = Some((now, Fetch::UnderWay));
            self.sought = std::mem::take(&mut self.waiting);
        }
        due
    }

    /// Records the end of the fetch that was under way. Without keys it failed.
    pub(super) fn end(&mut self, keys: Option<VerificationKeys>, now: Instant) {
        let outcome = if keys.is_some() { Fetch::Done } else { Fetch::Failed };
        self.last = self.last.map(|(at, _)| (at, outcome));
        if let Some(keys) = keys {
            self.keys = Some((Arc::new(keys), now));
        } else {
            let room = TOKENS_MAX.saturating_sub(self.waiting.len());
            self.waiting.extend(self.sought.drain().take(room));
        }
    }

    fn remember(&mut self, token: &TokenHash) {
        if self.waiting.len() < TOKENS_MAX {
            self.waiting.insert(token.clone());
        }
    }

    /// Tells whether a fetch may begin. A fetch that never ended does not prevent the next one.
    fn is_due(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|(at, _)| self.limits.interval_min <= now.saturating_duration_since(at))
    }

    /// Returns the keys, if they may still be used.
    pub(super) fn current(&self, now: Instant) -> Option<Arc<VerificationKeys>> {
        self.usable(now).map(|(keys, _)| Arc::clone(keys))
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

    /// A token that names this key.
    struct Token(String, TokenHash);

    impl Token {
        fn naming(kid: &str) -> Self {
            Self(kid.to_owned(), TokenHash::from_hex(format!("hash of a token by {kid}")))
        }

        fn shown(&self) -> Shown<'_> {
            Shown { kid: &self.0, token: &self.1 }
        }
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn keys_are_used_then_renewed_in_the_background_then_waited_for() {
        let start = clock::instant();
        let (mut cache, kid) = fetched(start);
        let token = Token::naming(&kid);
        let mut at = |after| said(cache.advise(token.shown(), start + secs(after))).0;
        assert_eq!(at(0), "use");
        assert_eq!(at(599), "use");
        assert_eq!(at(600), "use and fetch");
        assert_eq!(at(3599), "use and fetch");
        assert_eq!(at(3600), "fetch");
    }

    /// AUTH-03: an unknown `kid` causes one fetch in each interval, however often it comes. A token is
    /// refused only after a fetch that began when the token was there.
    #[test]
    fn a_token_with_an_unknown_key_waits_for_one_fetch_and_is_then_judged() {
        let start = clock::instant();
        let (mut cache, _) = fetched(start);
        let (new, other) = (Token::naming("new"), Token::naming("other"));
        for after in [1, 5, 9] {
            let advice = cache.advise(new.shown(), start + secs(after));
            assert_eq!(said(advice), ("unavailable", 10 - after));
        }
        assert!(cache.schedule());
        assert!(!cache.schedule(), "one is enough");
        let later = start + secs(10);
        assert!(cache.begin(later));
        assert!(!cache.begin(later), "one at a time");
        // Other requests wait for the fetch that is under way.
        assert_eq!(said(cache.advise(other.shown(), later)).0, "fetch");
        cache.end(Some(one_key().0), later);
        // This token was there before the fetch began, so the answer is final: there is no such key.
        assert_eq!(said(cache.advise(new.shown(), later + secs(1))).0, "use");
        // This one came later, so its key may be newer than the set.
        assert_eq!(cache.without_fetch(other.shown(), later + secs(2)).err(), Some(secs(8)));
        assert!(cache.schedule(), "for the next fetch");
        assert!(cache.begin(later + secs(10)));
        cache.end(Some(one_key().0), later + secs(10));
        assert_eq!(said(cache.advise(other.shown(), later + secs(11))).0, "use");
    }

    #[test]
    fn while_the_server_is_down_known_keys_are_used_and_others_are_unavailable() {
        let start = clock::instant();
        let (mut cache, kid) = fetched(start);
        let (known, new) = (Token::naming(&kid), Token::naming("new"));
        let later = start + secs(700);
        assert_eq!(said(cache.advise(new.shown(), later)).0, "fetch");
        assert!(cache.begin(later));
        cache.end(None, later + secs(5));
        assert_eq!(said(cache.advise(known.shown(), later + secs(6))).0, "use");
        assert_eq!(said(cache.advise(new.shown(), later + secs(6))), ("unavailable", 4));
        assert_eq!(cache.without_fetch(new.shown(), later + secs(6)).err(), Some(secs(4)));
        assert_eq!(said(cache.advise(known.shown(), start + secs(3601))).0, "fetch");
        // The token still waits for an answer, and the next fetch gives it.
        assert!(cache.begin(later + secs(10)));
        cache.end(Some(one_key().0), later + secs(10));
        assert_eq!(said(cache.advise(new.shown(), later + secs(11))).0, "use");
    }

    #[test]
    fn without_keys_the_advice_is_to_fetch_or_to_wait() {
        let start = clock::instant();
        let mut cache = KeyCache::new(LIMITS);
        let token = Token::naming("k");
        assert_eq!(said(cache.advise(token.shown(), start)).0, "fetch");
        assert!(cache.begin(start));
        // This fetch never ended.
        assert_eq!(cache.without_fetch(token.shown(), start + secs(3)).err(), Some(secs(7)));
        assert!(!cache.begin(start + secs(9)));
        assert!(cache.begin(start + secs(10)));
        cache.end(None, start + secs(10));
        assert_eq!(said(cache.advise(token.shown(), start + secs(11))), ("unavailable", 9));
    }

    /// Made-up tokens cost little memory, and make no other token look bad.
    #[test]
    fn the_tokens_that_are_remembered_are_bounded() {
        let start = clock::instant();
        let (mut cache, _) = fetched(start);
        for n in 0..=TOKENS_MAX {
            cache.advise(Token::naming(&format!("made up {n}")).shown(), start + secs(1));
        }
        assert_eq!(cache.waiting.len(), TOKENS_MAX);
        assert!(cache.begin(start + secs(10)));
        cache.end(Some(one_key().0), start + secs(10));
        let last = Token::naming(&format!("made up {TOKENS_MAX}"));
        assert_eq!(said(cache.advise(last.shown(), start + secs(11))), ("unavailable", 9));
        assert!(cache.sought.len() <= TOKENS_MAX && cache.waiting.len() <= TOKENS_MAX);
    }
}
