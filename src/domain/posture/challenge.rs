//! The challenge that an agent signs again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Refusal;
use crate::domain::{
    id::{AgentsName, DeviceId},
    time::Timestamp,
};

/// The media type in the header of a challenge, without the prefix `application/`. No SET has it, so
/// neither can stand for the other although the same key signs both (RFC 8725 §3.11).
pub const CHALLENGE_TYPE: &str = "ssfd-challenge+jwt";

/// How far a challenge may have been made in the future, because nodes have different clocks.
const AHEAD_MAX: Duration = Duration::from_mins(1);

/// A challenge for one device. The signed JWT is the whole state: the store keeps only the challenges that
/// were used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Random, and different in each challenge.
    pub atc: String,
    /// The issuer of the provider.
    pub issuer: String,
    pub agents: AgentsName,
    pub device: DeviceId,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

/// The claims on the wire.
#[derive(Serialize, Deserialize)]
struct Claims {
    atc: String,
    iss: String,
    aud: DeviceId,
    agents: AgentsName,
    iat: i64,
    exp: i64,
}

impl Challenge {
    /// Writes the claims as JSON.
    pub fn claims(&self) -> String {
        let claims = Claims {
            atc: self.atc.clone(),
            iss: self.issuer.clone(),
            aud: self.device.clone(),
            agents: self.agents.clone(),
            iat: self.issued_at.as_secs(),
            exp: self.expires_at.as_secs(),
        };
        serde_json::to_string(&claims).expect("texts and numbers are JSON")
    }

    /// Reads the claims of a challenge that we signed.
    pub fn read(claims: Map<String, Value>) -> Result<Self, Refusal> {
        let claims: Claims =
            serde_json::from_value(Value::Object(claims)).map_err(|_| Refusal::Challenge)?;
        let at = |secs: i64| Timestamp::from_millis(secs.saturating_mul(1000));
        Ok(Self {
            atc: claims.atc,
            issuer: claims.iss,
            agents: claims.agents,
            device: claims.aud,
            issued_at: at(claims.iat),
            expires_at: at(claims.exp),
        })
    }

    /// Tells whether a device may answer this challenge now. The clock is ours, so a device whose own
    /// clock is wrong can answer in time.
    pub fn judge(
        &self,
        issuer: &str,
        agents: &AgentsName,
        device: &DeviceId,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.issuer != issuer || self.agents != *agents || self.device != *device {
            Err(Refusal::ForeignChallenge)
        } else if self.expires_at <= now || now + AHEAD_MAX < self.issued_at {
            Err(Refusal::OldChallenge)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn challenge() -> Challenge {
        Challenge {
            atc: "random".to_owned(),
            issuer: "https://tx.example".to_owned(),
            agents: "laptops".parse().expect("a name"),
            device: "dev-1".parse().expect("an id"),
            issued_at: at(1000),
            expires_at: at(1300),
        }
    }

    #[track_caller]
    fn check(issuer: &str, agents: &str, device: &str, now: i64, expected: Result<(), Refusal>) {
        let (agents, device) = (agents.parse().expect("a name"), device.parse().expect("an id"));
        assert_eq!(challenge().judge(issuer, &agents, &device, at(now)), expected);
    }

    #[test]
    fn a_challenge_is_for_one_device_of_one_table_of_one_provider_and_for_a_time() {
        let (ours, laptops, dev) = ("https://tx.example", "laptops", "dev-1");
        check(ours, laptops, dev, 1000, Ok(()));
        check(ours, laptops, dev, 1299, Ok(()));
        check(ours, laptops, dev, 1300, Err(Refusal::OldChallenge));
        check(ours, laptops, dev, 940, Ok(()));
        check(ours, laptops, dev, 939, Err(Refusal::OldChallenge));
        check("https://tx.example/", laptops, dev, 1000, Err(Refusal::ForeignChallenge));
        check(ours, "phones", dev, 1000, Err(Refusal::ForeignChallenge));
        check(ours, laptops, "dev-2", 1000, Err(Refusal::ForeignChallenge));
    }

    #[test]
    fn the_claims_have_the_names_of_the_protocol() {
        let claims: Value = serde_json::from_str(&challenge().claims()).expect("JSON");
        let expected = serde_json::json!({
            "atc": "random", "iss": "https://tx.example", "aud": "dev-1", "agents": "laptops",
            "iat": 1000, "exp": 1300,
        });
        assert_eq!(claims, expected);
        for name in ["atc", "iss", "aud", "agents", "iat", "exp"] {
            let mut cut = claims.as_object().expect("an object").clone();
            cut.remove(name);
            assert_eq!(Challenge::read(cut), Err(Refusal::Challenge), "without {name}");
        }
    }

    proptest! {
        #[test]
        fn the_claims_read_back(atc: String, issuer: String, iat in 0..4_000_000_000_i64, life in 1..3600_i64) {
            let (issued_at, expires_at) = (at(iat), at(iat + life));
            let challenge = Challenge { atc, issuer, issued_at, expires_at, ..challenge() };
            let claims = serde_json::from_str(&challenge.claims()).expect("an object");
            prop_assert_eq!(Challenge::read(claims), Ok(challenge));
        }
    }
}
