//! The answers of an introspection endpoint that still count, and the tokens that were good before.

use std::{collections::HashMap, time::Duration};

use super::Introspected;
use crate::{
    auth::{access_token::Bearer, token_fault::TokenFault},
    domain::{grant::TokenHash, time::Timestamp},
};

/// The largest number of tokens of either kind, good and bad, that are remembered. They are apart, so
/// that made-up tokens do not crowd out good ones.
const ANSWERS_MAX: usize = 10_000;
/// How long a token is known to have been good after its answer no longer counts.
const KNOWN_FOR: Duration = Duration::from_hours(1);

/// Keys are hashes of tokens, because tokens themselves must not be kept.
#[derive(Debug, Default)]
pub(super) struct AnswerCache {
    good: HashMap<TokenHash, (Bearer, Timestamp)>,
    bad: HashMap<TokenHash, (TokenFault, Timestamp)>,
}

/// The knowledge about a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cached {
    /// The answer counts until this time.
    Good(Bearer, Timestamp),
    Bad(TokenFault),
    /// The server must be asked again about a token that was good when it was last asked.
    WasGood,
    Unknown,
}

impl AnswerCache {
    pub(super) fn get(&self, token: &TokenHash, now: Timestamp) -> Cached {
        match (self.good.get(token), self.bad.get(token)) {
            (Some((bearer, until)), _) if now < *until => Cached::Good(bearer.clone(), *until),
            (_, Some((fault, until))) if now < *until => Cached::Bad(fault.clone()),
            (Some((_, until)), _) if now < *until + KNOWN_FOR => Cached::WasGood,
            _ => Cached::Unknown,
        }
    }

    /// Remembers an answer. It counts only for a short time, so that a revocation is noticed, and never
    /// after the token expires (RFC 7662 §4).
    pub(super) fn put(
        &mut self,
        token: TokenHash,
        answer: Introspected,
        count_for: Duration,
        now: Timestamp,
    ) {
        let until = now + count_for;
        match answer {
            Ok(bearer) => {
                let until = bearer.expires_at.map_or(until, |at| at.min(until));
                make_room(&mut self.good, |(_, until)| now < *until + KNOWN_FOR);
                self.bad.remove(&token);
                self.good.insert(token, (bearer, until));
            }
            Err(fault) => {
                make_room(&mut self.bad, |(_, until)| now < *until);
                self.good.remove(&token);
                self.bad.insert(token, (fault, until));
            }
        }
    }
}

/// Removes answers if there are too many: those that are of no use, or else all. The only cost is to
/// ask again.
fn make_room<V>(answers: &mut HashMap<TokenHash, V>, is_of_use: impl Fn(&V) -> bool) {
    if ANSWERS_MAX <= answers.len() {
        answers.retain(|_, answer| is_of_use(answer));
    }
    if ANSWERS_MAX <= answers.len() {
        answers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHE_FOR: Duration = Duration::from_secs(30);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn token(name: &str) -> TokenHash {
        TokenHash::from_hex(name.to_owned())
    }

    fn bearer(expires_at: Option<Timestamp>) -> Bearer {
        Bearer { client: "rx".into(), scopes: Vec::new(), expires_at }
    }

    /// AUTH-08
    #[test]
    fn a_cached_answer_ends_soon_and_never_after_the_token() {
        let mut cache = AnswerCache::default();
        for (name, answer) in [
            ("endless", Ok(bearer(None))),
            ("long", Ok(bearer(Some(at(1000))))),
            ("short", Ok(bearer(Some(at(105))))),
            ("dead", Err(TokenFault::Inactive)),
        ] {
            cache.put(token(name), answer, CACHE_FOR, at(100));
        }
        let found = |name: &str, secs| cache.get(&token(name), at(secs));
        assert_eq!(found("endless", 129), Cached::Good(bearer(None), at(130)));
        assert_eq!(found("endless", 130), Cached::WasGood);
        assert_eq!(found("long", 129), Cached::Good(bearer(Some(at(1000))), at(130)));
        assert_eq!(found("long", 130), Cached::WasGood);
        assert_eq!(found("short", 104), Cached::Good(bearer(Some(at(105))), at(105)));
        assert_eq!(found("short", 105), Cached::WasGood);
        assert_eq!(found("dead", 129), Cached::Bad(TokenFault::Inactive));
        assert_eq!(found("dead", 130), Cached::Unknown);
        assert_eq!(found("other", 101), Cached::Unknown);
        assert_eq!(found("endless", 130 + 3600), Cached::Unknown);
    }

    #[test]
    fn a_token_that_was_revoked_is_no_longer_known_as_good() {
        let mut cache = AnswerCache::default();
        cache.put(token("t"), Ok(bearer(None)), CACHE_FOR, at(100));
        cache.put(token("t"), Err(TokenFault::Inactive), CACHE_FOR, at(140));
        assert_eq!(cache.get(&token("t"), at(141)), Cached::Bad(TokenFault::Inactive));
        assert_eq!(cache.get(&token("t"), at(171)), Cached::Unknown);
        cache.put(token("t"), Ok(bearer(None)), CACHE_FOR, at(172));
        assert_eq!(cache.get(&token("t"), at(173)), Cached::Good(bearer(None), at(202)));
    }

    #[test]
    fn the_answers_that_are_kept_are_bounded_and_bad_ones_crowd_out_no_good_ones() {
        let mut cache = AnswerCache::default();
        cache.put(token("good"), Ok(bearer(None)), CACHE_FOR, at(100));
        for n in 0..=ANSWERS_MAX {
            cache.put(token(&n.to_string()), Err(TokenFault::Inactive), CACHE_FOR, at(100));
        }
        assert!(cache.bad.len() <= ANSWERS_MAX);
        assert_eq!(cache.get(&token("good"), at(101)), Cached::Good(bearer(None), at(130)));
        for n in 0..=ANSWERS_MAX {
            cache.put(token(&n.to_string()), Ok(bearer(None)), CACHE_FOR, at(100));
        }
        assert!(cache.good.len() <= ANSWERS_MAX);
    }
}
