//! Registered devices.

use std::fmt;

use super::{Change, ClockOff, Standing};
use crate::domain::{
    grant::TokenHash,
    id::{AgentsName, DeviceId, ProviderName},
    subject::SubjectId,
    time::Timestamp,
};

/// The name of a device in the whole daemon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey {
    pub provider: ProviderName,
    pub agents: AgentsName,
    pub device: DeviceId,
}

/// No name has a slash, so no two devices have the same text.
impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.provider, self.agents, self.device)
    }
}

/// Whether a device counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Registered,
    /// The device has registered itself, and waits for an operator. It is judged, and nothing is told.
    Quarantined,
    /// The device may not check in any more.
    Revoked {
        at: Timestamp,
    },
}

impl Admission {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Quarantined => "quarantined",
            Self::Revoked { .. } => "revoked",
        }
    }
}

/// A challenge that a device used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpentChallenge {
    /// A hash of its `atc`.
    pub atc: String,
    pub expires_at: Timestamp,
}

/// Why a challenge cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spending {
    /// The device has used it before.
    Replayed,
    /// The device has used so many others that are still valid, and may use one again at this time.
    TooMany { until: Timestamp },
}

/// A device with its standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub key: DeviceKey,
    /// A name for people.
    pub name: Option<String>,
    /// The platform, which chooses the rules. An agent cannot choose another one.
    pub platform: Option<String>,
    /// The user of the device, who becomes a part of the subject.
    pub user: Option<SubjectId>,
    pub admission: Admission,
    pub registered_at: Timestamp,
    /// The hash of the device's token, by which the token is found.
    pub token: Option<TokenHash>,
    pub standing: Standing,
    /// A change that is not published yet.
    pub pending: Option<Change>,
    /// The last difference between the clock of the device and ours that was too large. `None` once it is
    /// right again.
    pub clock_off: Option<ClockOff>,
    /// The challenges that were used last, the oldest first.
    pub spent: Vec<SpentChallenge>,
}

impl Device {
    /// Uses up a challenge. Returns the device afterwards.
    ///
    /// A challenge that was used is forgotten only to make room, never because of the time: a clock that is
    /// set back would make it valid again. `challenges_max` is how many are remembered.
    pub fn spend(
        &self,
        challenge: SpentChallenge,
        challenges_max: usize,
        now: Timestamp,
    ) -> Result<Vec<SpentChallenge>, Spending> {
        if self.spent.iter().any(|spent| spent.atc == challenge.atc) {
            return Err(Spending::Replayed);
        }
        let mut spent = self.spent.clone();
        while challenges_max <= spent.len() {
            let oldest = spent.iter().map(|spent| spent.expires_at).min().unwrap_or(now);
            if now < oldest {
                return Err(Spending::TooMany { until: oldest });
            }
            let place = spent.iter().position(|spent| spent.expires_at == oldest);
            spent.remove(place.unwrap_or_default());
        }
        spent.push(challenge);
        Ok(spent)
    }
}

#[cfg(test)]
pub(super) fn example() -> Device {
    let registered_at = Timestamp::from_millis(1_775_000_000_000);
    Device {
        key: DeviceKey {
            provider: "acme".parse().expect("a name"),
            agents: "laptops".parse().expect("a name"),
            device: "dev-1".parse().expect("an id"),
        },
        name: None,
        platform: None,
        user: None,
        admission: Admission::Registered,
        registered_at,
        token: None,
        standing: Standing::registered(registered_at),
        pending: None,
        clock_off: None,
        spent: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn challenge(atc: &str, expires: i64) -> SpentChallenge {
        SpentChallenge { atc: atc.to_owned(), expires_at: at(expires) }
    }

    #[test]
    fn a_challenge_is_used_once_and_few_at_a_time() {
        let mut device = example();
        for (atc, expires) in [("a", 100), ("b", 110)] {
            device.spent = device.spend(challenge(atc, expires), 2, at(1)).expect("new");
        }
        let spend = |atc: &str, now| device.spend(challenge(atc, 400), 2, at(now));
        assert_eq!(spend("a", 1), Err(Spending::Replayed));
        assert_eq!(spend("c", 99), Err(Spending::TooMany { until: at(100) }));
        assert_eq!(spend("c", 100), Ok(vec![challenge("b", 110), challenge("c", 400)]));
        assert_eq!(spend("b", 500), Err(Spending::Replayed), "time alone forgets nothing");
    }

    proptest! {
        /// A challenge that is valid is never accepted twice, whatever comes between.
        #[test]
        fn no_valid_challenge_works_twice(
            mut steps in vec((0..1000_i64, 0..6_i64), 1..60),
            challenges_max in 1..5_usize,
        ) {
            steps.sort_unstable();
            let mut device = example();
            let mut used = BTreeSet::new();
            for (now, name) in steps {
                let expires = name * 200 + 300;
                // Others are refused before, because they have expired.
                if now < expires {
                    let next = challenge(&name.to_string(), expires);
                    if let Ok(spent) = device.spend(next, challenges_max, at(now)) {
                        prop_assert!(used.insert(name));
                        device.spent = spent;
                    }
                }
                prop_assert!(device.spent.len() <= challenges_max);
            }
        }
    }
}
