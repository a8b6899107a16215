//! The tokens that had to wait, so that they are recognized when they come again.
//!
//! An attacker who invents tokens shows each of them once. A Receiver whose new token was answered 429
//! shows the same token again after the wait. Such a token counts against a rate of its own, which invented
//! tokens do not use up. An attacker can compete for this rate only by repeating tokens, which halves the
//! number of tokens that can be tried.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use crate::domain::grant::TokenHash;

/// How many seconds a token is remembered.
const SECONDS: usize = 8;
/// The most tokens that are remembered of one second.
const TOKENS_MAX: usize = 16_384;

/// Tokens by the second in which they had to wait, from the oldest to the newest.
#[derive(Debug)]
pub(super) struct SecondTry {
    start: Instant,
    seconds: Mutex<VecDeque<(u64, HashSet<u64>)>>,
}

impl SecondTry {
    pub(super) fn new(start: Instant) -> Self {
        Self { start, seconds: Mutex::default() }
    }

    /// Tells whether this token had to wait in an earlier second. In any case it is remembered.
    pub(super) fn is_second_try(&self, token: &TokenHash, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.start).as_secs();
        let token = short(token);
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = second.saturating_sub(SECONDS as u64);
        seconds.retain(|(at, _)| oldest <= *at);
        let came_before = seconds.iter().any(|(at, all)| *at < second && all.contains(&token));
        if seconds.back().is_none_or(|(at, _)| *at < second) {
            seconds.push_back((second, HashSet::new()));
        }
        if let Some((_, newest)) = seconds.back_mut()
            && newest.len() < TOKENS_MAX
        {
            newest.insert(token);
        }
        came_before
    }
}

/// Returns the first 64 bits of a hash. Two tokens with the same ones are taken for one, which lets one
/// question more pass.
fn short(token: &TokenHash) -> u64 {
    let digits = token.as_str().get(..16).unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    fn token(n: u64) -> TokenHash {
        TokenHash::from_hex(format!("{n:016x}{:048}", 0))
    }

    #[test]
    fn a_token_that_comes_again_in_a_later_second_is_recognized() {
        let start = clock::instant();
        let tries = SecondTry::new(start);
        let came =
            |n, millis| tries.is_second_try(&token(n), start + Duration::from_millis(millis));
        assert!(!came(1, 100));
        assert!(!came(1, 900), "in the same second");
        assert!(!came(2, 1000));
        assert!(came(1, 1000));
        assert!(came(2, 5000));
        assert!(!came(3, 5000));
        assert!(!came(3, 20_000), "too late");
    }

    #[test]
    fn the_tokens_that_are_remembered_are_bounded() {
        let start = clock::instant();
        let tries = SecondTry::new(start);
        for second in 0..20 {
            for n in 0..20_000 {
                tries.is_second_try(
                    &token(n + 20_000 * second),
                    start + Duration::from_secs(second),
                );
            }
        }
        let seconds = tries.seconds.lock().expect("no panic");
        assert!(seconds.len() <= SECONDS + 1);
        assert!(seconds.iter().all(|(_, all)| all.len() <= TOKENS_MAX));
    }
}
