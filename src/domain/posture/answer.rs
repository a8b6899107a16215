//! The answer of an agent to a challenge, and the reasons why it does not count.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::domain::{id::DeviceId, time::Timestamp};

/// The only algorithm of an answer (RFC 7518 §3.2).
pub const ANSWER_ALGORITHM: &str = "HS512";

/// By how much the clock of a device differs from ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOff {
    /// More than 0 if the clock of the device is ahead.
    pub secs: i64,
    /// When we saw it, by our clock.
    pub seen_at: Timestamp,
}

/// The reason why an answer does not count. The device is told nothing of it but [`Self::Clock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the answer is not a JWT with the claims of an answer")]
    Malformed,
    #[error("the algorithm is not {ANSWER_ALGORITHM}")]
    Algorithm,
    #[error("no device has the id, or none has a token with the hash in the header")]
    UnknownDevice,
    #[error("the token with the hash in the header belongs to another device")]
    ForeignToken,
    #[error("the device is revoked")]
    Revoked,
    #[error("the answer is not signed with the token of the device")]
    Signature,
    #[error("there were too many answers with a wrong signature for this device from this address")]
    Locked,
    #[error("the audience is another one")]
    Audience,
    #[error("the challenge is not one of ours")]
    Challenge,
    #[error("the challenge is for another device, other agents or another provider")]
    ForeignChallenge,
    #[error("the challenge has expired")]
    OldChallenge,
    #[error("the challenge was answered before")]
    Replayed,
    #[error("the facts are not those that the answer was made for")]
    Facts,
    #[error("the clock of the device is off by {} s", .0.secs)]
    Clock(ClockOff),
}

impl Refusal {
    /// Every label, for metrics that begin at 0.
    pub const LABELS: [&'static str; 14] = [
        "malformed",
        "algorithm",
        "unknown_device",
        "foreign_token",
        "revoked",
        "signature",
        "locked",
        "audience",
        "challenge",
        "foreign_challenge",
        "old_challenge",
        "replayed",
        "facts",
        "clock",
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownDevice => "unknown_device",
            Self::ForeignToken => "foreign_token",
            Self::Revoked => "revoked",
            Self::Signature => "signature",
            Self::Locked => "locked",
            Self::Audience => "audience",
            Self::Challenge => "challenge",
            Self::ForeignChallenge => "foreign_challenge",
            Self::OldChallenge => "old_challenge",
            Self::Replayed => "replayed",
            Self::Facts => "facts",
            Self::Clock(_) => "clock",
        }
    }

    /// Tells whether the answer may be a guess of the token, so that it counts against the device and the
    /// address that it came from. Whoever has signed with the token has not guessed.
    pub fn may_be_a_guess(self) -> bool {
        match self {
            Self::Malformed
            | Self::Algorithm
            | Self::UnknownDevice
            | Self::ForeignToken
            | Self::Revoked
            | Self::Signature => true,
            // The lock ends by itself, whether or not more answers come.
            Self::Locked
            | Self::Audience
            | Self::Challenge
            | Self::ForeignChallenge
            | Self::OldChallenge
            | Self::Replayed
            | Self::Facts
            | Self::Clock(_) => false,
        }
    }
}

/// The claims of an answer. Nothing in them is believed before its signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerClaims {
    /// The device (`iss`).
    pub device: DeviceId,
    audience: Vec<String>,
    /// The whole challenge (`atc`).
    pub challenge: String,
    issued_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    facts_sha256: Option<String>,
}

/// The claims on the wire. Other claims are ignored (RFC 7519 §4.3).
#[derive(Deserialize)]
struct Claims {
    iss: DeviceId,
    aud: OneOrMany,
    atc: String,
    iat: Option<f64>,
    exp: Option<f64>,
    nbf: Option<f64>,
    facts_sha256: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads a `NumericDate` (RFC 7519 §2).
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, as far off as it gets")]
fn time(secs: f64) -> Timestamp {
    Timestamp::from_millis((secs * 1000.0).floor() as i64)
}

impl AnswerClaims {
    pub fn read(claims: Map<String, Value>) -> Result<Self, Refusal> {
        let claims: Claims =
            serde_json::from_value(Value::Object(claims)).map_err(|_| Refusal::Malformed)?;
        Ok(Self {
            device: claims.iss,
            audience: match claims.aud {
                OneOrMany::One(one) => vec![one],
                OneOrMany::Many(many) => many,
            },
            challenge: claims.atc,
            issued_at: claims.iat.map(time),
            expires_at: claims.exp.map(time),
            not_before: claims.nbf.map(time),
            facts_sha256: claims.facts_sha256,
        })
    }

    pub fn judge_audience(&self, expected: &str) -> Result<(), Refusal> {
        if self.audience.iter().any(|one| one == expected) {
            Ok(())
        } else {
            Err(Refusal::Audience)
        }
    }

    /// Returns by how much the clock of the device is off, if the answer has a time of its own.
    ///
    /// The answer contains a challenge that we have just made, so it was made just now, whatever the
    /// device's clock says.
    pub fn clock_off(&self, now: Timestamp) -> Option<ClockOff> {
        let made_at = self.issued_at.or(self.not_before)?;
        let secs = made_at.as_secs().saturating_sub(now.as_secs());
        Some(ClockOff { secs, seen_at: now })
    }

    /// Judges the times of the answer. An answer to a challenge that counts can only be expired, or of the
    /// future, if the clock of its device is wrong.
    pub fn judge_clock(&self, now: Timestamp, skew_max: Duration) -> Result<(), Refusal> {
        let off_by = |at: Timestamp| {
            let secs = at.as_secs().saturating_sub(now.as_secs());
            Refusal::Clock(self.clock_off(now).unwrap_or(ClockOff { secs, seen_at: now }))
        };
        let begins = [self.issued_at, self.not_before].into_iter().flatten();
        let mut ahead = begins.filter(|begin| now + skew_max < *begin);
        if let Some(begin) = ahead.next() {
            return Err(off_by(begin));
        }
        match (self.expires_at, self.issued_at) {
            (Some(end), _) if end + skew_max <= now => Err(off_by(end)),
            (_, Some(made_at)) if made_at + skew_max < now => Err(off_by(made_at)),
            _ => Ok(()),
        }
    }

    /// Judges the hash of the facts, if the answer has one: the SHA-256 of the bytes of the facts as they
    /// were sent, in base64url.
    pub fn judge_facts(&self, sha256: &str) -> Result<(), Refusal> {
        match &self.facts_sha256 {
            Some(claimed) if claimed != sha256 => Err(Refusal::Facts),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_775_000_000;
    const SKEW: Duration = Duration::from_mins(5);

    fn now() -> Timestamp {
        Timestamp::from_millis(NOW * 1000 + 500)
    }

    fn read(more: Value) -> Result<AnswerClaims, Refusal> {
        let mut claims = json!({"iss": "dev-1", "aud": "agents", "atc": "a.b.c"});
        for (name, value) in more.as_object().expect("members") {
            claims[name] = value.clone();
        }
        let Value::Object(claims) = claims else { unreachable!("an object") };
        AnswerClaims::read(claims)
    }

    fn claims(more: Value) -> AnswerClaims {
        read(more).expect("claims")
    }

    #[test]
    fn an_answer_names_its_device_its_audience_and_its_challenge() {
        for bad in [
            json!({"iss": null}),
            json!({"iss": "a b"}),
            json!({"iss": ["dev-1"]}),
            json!({"aud": null}),
            json!({"aud": 7}),
            json!({"atc": null}),
            json!({"atc": {}}),
            json!({"iat": "now"}),
            json!({"exp": true}),
            json!({"facts_sha256": 7}),
        ] {
            assert_eq!(read(bad.clone()), Err(Refusal::Malformed), "{bad}");
        }
        let many = claims(json!({"aud": ["x", "agents"], "other": 1, "iat": null}));
        assert_eq!(many.judge_audience("agents"), Ok(()));
        assert_eq!(many.judge_audience("agent"), Err(Refusal::Audience));
        assert_eq!(claims(json!({"aud": []})).judge_audience("agents"), Err(Refusal::Audience));
    }

    #[track_caller]
    fn check_clock(more: Value, off_by: Option<i64>) {
        let judged = claims(more).judge_clock(now(), SKEW);
        let expected =
            off_by.map_or(Ok(()), |secs| Err(Refusal::Clock(ClockOff { secs, seen_at: now() })));
        assert_eq!(judged, expected);
    }

    #[test]
    fn a_clock_that_is_off_is_told_with_the_difference() {
        check_clock(json!({}), None);
        check_clock(json!({"iat": NOW, "exp": NOW + 60}), None);
        check_clock(json!({"iat": NOW - 299, "exp": NOW - 239}), None);
        check_clock(json!({"iat": NOW + 300, "exp": NOW + 360}), None);
        check_clock(json!({"iat": NOW - 600, "exp": NOW - 540}), Some(-600));
        check_clock(json!({"iat": NOW - 600}), Some(-600));
        check_clock(json!({"iat": NOW + 600, "exp": NOW + 660}), Some(600));
        check_clock(json!({"nbf": NOW + 600}), Some(600));
        check_clock(json!({"exp": NOW - 540}), Some(-540));
        check_clock(json!({"iat": 1e300}), Some(i64::MAX / 1000 - NOW));
        check_clock(json!({"iat": -1e300}), Some(i64::MIN / 1000 - 1 - NOW));
    }

    #[test]
    fn the_difference_is_known_even_if_it_is_small() {
        let off = |more: Value| claims(more).clock_off(now()).map(|off| off.secs);
        assert_eq!(off(json!({"iat": NOW - 7})), Some(-7));
        assert_eq!(off(json!({"iat": 1_775_000_003.9})), Some(3));
        assert_eq!(off(json!({"exp": NOW})), None);
    }

    #[test]
    fn a_hash_of_the_facts_counts_if_it_is_there() {
        assert_eq!(claims(json!({})).judge_facts("abc"), Ok(()));
        assert_eq!(claims(json!({"facts_sha256": "abc"})).judge_facts("abc"), Ok(()));
        assert_eq!(claims(json!({"facts_sha256": "abd"})).judge_facts("abc"), Err(Refusal::Facts));
    }

    #[test]
    fn each_refusal_has_a_label_of_its_own() {
        let off = ClockOff { secs: 1, seen_at: now() };
        let all = [
            Refusal::Malformed,
            Refusal::Algorithm,
            Refusal::UnknownDevice,
            Refusal::ForeignToken,
            Refusal::Revoked,
            Refusal::Signature,
            Refusal::Locked,
            Refusal::Audience,
            Refusal::Challenge,
            Refusal::ForeignChallenge,
            Refusal::OldChallenge,
            Refusal::Replayed,
            Refusal::Facts,
            Refusal::Clock(off),
        ];
        assert_eq!(all.map(Refusal::label), Refusal::LABELS);
        assert!(!Refusal::Clock(off).may_be_a_guess(), "a wrong clock is no attack");
    }

    proptest! {
        /// Reading and judging ends with a value, whatever the claims.
        #[test]
        fn no_times_make_it_panic(iat: f64, exp: f64, nbf: f64, millis: i64) {
            let claims = claims(json!({"iat": iat, "exp": exp, "nbf": nbf}));
            claims.judge_clock(Timestamp::from_millis(millis), SKEW).ok();
            claims.clock_off(Timestamp::from_millis(millis));
        }

        /// An answer is refused for its clock exactly if the clock is off by more than is allowed.
        #[test]
        fn a_clock_counts_by_its_difference(off in -2000..2000_i64, life in 1..300_i64) {
            let made = NOW + off;
            let claims = claims(json!({"iat": made, "exp": made + life}));
            let is_refused = claims.judge_clock(now(), SKEW).is_err();
            prop_assert_eq!(is_refused, off <= -300 || 300 < off);
        }
    }
}
