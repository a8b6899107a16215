//! When an endpoint, rather than a SET, is at fault for good, so that its stream is paused.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    delivery::outcome::{Blame, FailureClass, Outcome},
    domain::time::Timestamp,
};

/// How long an endpoint may be at fault before its stream is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultSettings {
    /// For how long every attempt has failed by the endpoint's fault before its stream is paused.
    #[serde(with = "humantime_serde")]
    pub pause_after: Duration,
    /// And how many attempts these were at least.
    pub attempts_min: u32,
    /// How many SETs in a row a Receiver may refuse for their signature before its stream is
    /// paused, the last of them held.
    pub key_refusals_max: u32,
}

impl Default for FaultSettings {
    fn default() -> Self {
        Self { pause_after: Duration::from_hours(1), attempts_min: 5, key_refusals_max: 10 }
    }
}

/// Why a stream is to be paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// [`Outcome::class`] of the last attempt, a metric label.
    pub class: &'static str,
    /// How many attempts in a row, over how long.
    pub attempts: u32,
    pub lasted: Duration,
    /// The part of the last failure that the Receiver may read; bounded.
    pub detail: String,
}

/// Returns the part of a failure that the Receiver may read. An answer of its own is shown. Findings
/// on the way to it, such as an address in our network, are not, because anybody may name an endpoint.
fn shown(class: FailureClass, detail: &str) -> String {
    match class {
        FailureClass::TlsUntrusted => "its certificate is not trusted".to_owned(),
        FailureClass::AddressRefused => "its address is not to be dialled".to_owned(),
        _ => detail.to_owned(),
    }
}

/// The reason of the status, which the Receiver reads (SSF §8.1.2.1).
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, attempts, lasted, detail } = self;
        let mins = lasted.as_secs() / 60;
        write!(
            f,
            "{attempts} pushes in a row failed within {mins} min, the last by {class}: {detail}"
        )
    }
}

/// The failures of one stream that are its endpoint's fault. A restart forgets them, which gives the
/// endpoint another chance.
#[derive(Debug)]
pub struct Faults {
    settings: FaultSettings,
    row: Option<Row>,
}

/// Failures in a row of one kind.
#[derive(Debug)]
struct Row {
    kind: FaultKind,
    since: Timestamp,
    attempts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FaultKind {
    Endpoint,
    /// Refused for the signature, though signed with the current key.
    Key,
}

impl Faults {
    pub fn new(settings: FaultSettings) -> Self {
        Self { settings, row: None }
    }

    /// An attempt is over. `Some` if the stream is to be paused.
    pub fn on_outcome(&mut self, outcome: &Outcome, now: Timestamp) -> Option<Fault> {
        let (kind, detail) = match outcome {
            Outcome::Refused(error) if error.blames_key() => {
                (FaultKind::Key, format!("{}: {}", error.err, error.description))
            }
            // The Receiver read a SET, so that nothing is wrong with the way there.
            Outcome::Accepted { .. } | Outcome::Refused(_) => {
                self.row = None;
                return None;
            }
            Outcome::Failed { class, detail, .. } if class.blame() == Blame::Endpoint => {
                (FaultKind::Endpoint, shown(*class, detail))
            }
            // An endpoint that is down or busy is not cleared by it.
            Outcome::Failed { .. } => return None,
        };
        let row = self.row.take().filter(|row| row.kind == kind);
        let row = row.unwrap_or(Row { kind, since: now, attempts: 0 });
        let row = self.row.insert(Row { attempts: row.attempts.saturating_add(1), ..row });
        let lasted = now.since(row.since);
        let too_long = match kind {
            FaultKind::Endpoint => {
                self.settings.attempts_min <= row.attempts && self.settings.pause_after <= lasted
            }
            FaultKind::Key => self.settings.key_refusals_max <= row.attempts,
        };
        let attempts = row.attempts;
        too_long.then(|| Fault { class: outcome.class(), attempts, lasted, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::set_error::SetError;

    fn at(mins: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_mins(mins)
    }

    fn faults() -> Faults {
        Faults::new(FaultSettings::default())
    }

    fn failed(class: FailureClass) -> Outcome {
        Outcome::failed(class, "status 401")
    }

    #[test]
    fn an_endpoint_is_at_fault_after_enough_attempts_and_time() {
        let mut faults = faults();
        for minute in [0, 10, 20, 59] {
            assert_eq!(faults.on_outcome(&failed(FailureClass::Credentials), at(minute)), None);
        }
        // Busy or down meanwhile: neither for it nor against it.
        for class in [FailureClass::Unavailable, FailureClass::Connect, FailureClass::Signing] {
            assert_eq!(faults.on_outcome(&failed(class), at(60)), None);
        }
        let fault = faults.on_outcome(&failed(FailureClass::Misconfigured), at(61));
        let fault = fault.expect("for an hour, at the fifth attempt");
        assert_eq!(
            fault.to_string(),
            "5 pushes in a row failed within 61 min, the last by misconfigured: status 401"
        );
    }

    #[test]
    fn few_attempts_or_little_time_are_not_enough() {
        let mut slow = faults();
        for hour in 0..4 {
            assert_eq!(slow.on_outcome(&failed(FailureClass::TlsUntrusted), at(hour * 60)), None);
        }
        let mut quick = faults();
        for _ in 0..1000 {
            assert_eq!(quick.on_outcome(&failed(FailureClass::AddressRefused), at(59)), None);
        }
    }

    #[test]
    fn what_we_found_on_the_way_is_not_shown() {
        let settings =
            FaultSettings { pause_after: Duration::ZERO, attempts_min: 1, key_refusals_max: 1 };
        for class in [FailureClass::TlsUntrusted, FailureClass::AddressRefused] {
            let outcome = Outcome::failed(class, "10.0.0.1 is not a public address");
            let fault = Faults::new(settings.clone()).on_outcome(&outcome, at(0));
            let reason = fault.expect("at once").to_string();
            assert!(reason.contains(class.as_str()) && !reason.contains("10.0.0.1"), "{reason}");
        }
    }

    #[test]
    fn a_set_that_was_read_clears_the_endpoint() {
        let read = [
            Outcome::Accepted { status: 202 },
            Outcome::Refused(SetError::new("invalid_audience", "")),
        ];
        for outcome in read {
            let mut faults = faults();
            for _ in 0..4 {
                faults.on_outcome(&failed(FailureClass::Credentials), at(0));
            }
            faults.on_outcome(&outcome, at(1));
            assert_eq!(faults.on_outcome(&failed(FailureClass::Credentials), at(90)), None);
        }
    }

    #[test]
    fn many_signatures_refused_in_a_row_are_the_endpoints_fault() {
        let mut faults = faults();
        let refused = Outcome::Refused(SetError::new("invalid_key", "unknown kid"));
        for _ in 0..9 {
            assert_eq!(faults.on_outcome(&refused, at(0)), None);
        }
        let fault = faults.on_outcome(&refused, at(0)).expect("the tenth");
        assert_eq!((fault.class, fault.attempts), ("refused_invalid_key", 10));
        assert_eq!(fault.detail, "invalid_key: unknown kid");
    }
}
