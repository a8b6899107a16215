//! The state of a SET. A waiting SET that was never attempted and never handed out has no such
//! record.
//!
//! | bytes | content |
//! |---|---|
//! | 1 | `w` waiting, `s` sent, `d` dead, `x` discarded |
//! | 10 | attempts |
//! | 16 | the time when it is due, or when it was settled |
//! | … | `w`: `-`, or `e` and the outcome of the last attempt; `d`: the length of the reason (3), the reason, the detail; `x`: the reason |

use super::{Parts, time, unreadable};
use crate::{
    domain::time::Timestamp,
    store::{StoreError, archive::SetState},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::redis) struct StateRecord {
    pub(in crate::store::redis) attempts: u32,
    pub(in crate::store::redis) state: SetState,
}

impl StateRecord {
    /// Encodes a state. Returns an empty text for a SET that needs none, because it is due at `appended_at`.
    pub(in crate::store::redis) fn encode(&self, appended_at: Timestamp) -> String {
        let head = |letter, at| format!("{letter}{:010}{}", self.attempts, time(at));
        match &self.state {
            SetState::Waiting { due_at, error: None }
                if *due_at == appended_at && self.attempts == 0 =>
            {
                String::new()
            }
            SetState::Waiting { due_at, error: None } => head('w', *due_at) + "-",
            SetState::Waiting { due_at, error: Some(error) } => head('w', *due_at) + "e" + error,
            SetState::Sent { at } => head('s', *at),
            SetState::Dead { at, reason, detail } => {
                format!("{}{:03}{reason}{detail}", head('d', *at), reason.label().len())
            }
            SetState::Discarded { at, reason } => head('x', *at) + reason.label(),
        }
    }

    /// Reads a state. A SET without one is due at `appended_at`.
    pub(in crate::store::redis) fn decode(
        record: &[u8],
        appended_at: Timestamp,
    ) -> Result<Self, StoreError> {
        const WHAT: &str = "the state of a SET";
        if record.is_empty() {
            let state = SetState::Waiting { due_at: appended_at, error: None };
            return Ok(Self { attempts: 0, state });
        }
        let mut parts = Parts::of(record, WHAT)?;
        let (letter, attempts, at) = (parts.text(1)?, parts.number(10)?, parts.time()?);
        let state = match letter {
            "w" => {
                let failed = parts.text(1)? == "e";
                let error = failed.then(|| parts.rest().to_owned());
                SetState::Waiting { due_at: at, error }
            }
            "s" => SetState::Sent { at },
            "d" => {
                let length = parts.number(3)?;
                let reason = parts.text(length)?.into();
                SetState::Dead { at, reason, detail: parts.rest().to_owned() }
            }
            "x" => SetState::Discarded { at, reason: parts.rest().into() },
            _ => return Err(unreadable(WHAT)),
        };
        Ok(Self { attempts, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Timestamp = Timestamp::from_millis(86_400_000);

    const AT: Timestamp = Timestamp::from_millis(5);

    /// A letter, attempts, and the fifth millisecond.
    fn head(letter: &str, attempts: u32) -> String {
        format!("{letter}{attempts:010}0000000000000005")
    }

    #[track_caller]
    fn check(record: &str, attempts: u32, state: SetState) {
        let read = StateRecord::decode(record.as_bytes(), DAY).expect("readable");
        assert_eq!(read.encode(DAY), record);
        assert_eq!(read, StateRecord { attempts, state });
    }

    #[test]
    fn a_state_is_read_and_written_as_the_scripts_do() {
        let waiting = |due_at, error| SetState::Waiting { due_at, error };
        check("", 0, waiting(DAY, None));
        check(&(head("w", 0) + "-"), 0, waiting(AT, None));
        check(&(head("w", 3) + "etimeout"), 3, waiting(AT, Some("timeout".to_owned())));
        check(&head("s", 1), 1, SetState::Sent { at: AT });
        let (reason, detail) = ("expired".into(), "503: ü".to_owned());
        let dead = SetState::Dead { at: AT, reason, detail };
        check(&(head("d", 1) + "007expired503: ü"), 1, dead);
        let reason = "subject".into();
        check(&(head("x", 0) + "subject"), 0, SetState::Discarded { at: AT, reason });
    }

    #[test]
    fn anything_else_is_an_error() {
        for record in ["w".to_owned(), head("y", 1), head("d", 1) + "999x"] {
            assert!(StateRecord::decode(record.as_bytes(), DAY).is_err(), "{record}");
        }
    }
}
