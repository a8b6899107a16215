//! The uses of credentials that are not recorded yet.
//!
//! A request only notes its credential in memory, because it must not wait for a write. A maintenance
//! job records the uses. A note that is lost with the process only makes a list show an earlier time.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::domain::{grant::Credential, time::Timestamp};

/// The precision of a recorded time. A credential is recorded at most once in this interval.
pub(super) const LAST_USE_INTERVAL: Duration = Duration::from_mins(1);

/// Notes of the last use of credentials. Only valid credentials are noted, and a note is dropped
/// after [`LAST_USE_INTERVAL`], so the credentials in use limit the size.
#[derive(Debug, Default)]
pub(super) struct UseNotes(Mutex<HashMap<Credential, Note>>);

#[derive(Debug, Clone, Copy)]
struct Note {
    at: Timestamp,
    is_recorded: bool,
}

impl UseNotes {
    /// Notes a use, unless the last noted one is within the interval.
    pub(super) fn note(&self, credential: &Credential, now: Timestamp) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match notes.get_mut(credential) {
            Some(note) if now.since(note.at) < LAST_USE_INTERVAL => {}
            Some(note) => *note = Note { at: now, is_recorded: false },
            None => {
                notes.insert(credential.clone(), Note { at: now, is_recorded: false });
            }
        }
    }

    /// Returns the uses that are to be recorded, and takes them for recorded.
    pub(super) fn take(&self, now: Timestamp) -> Vec<(Credential, Timestamp)> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.retain(|_, note| !note.is_recorded || now.since(note.at) < LAST_USE_INTERVAL);
        let unrecorded = notes.iter_mut().filter(|(_, note)| !note.is_recorded);
        let take = |(credential, note): (&Credential, &mut Note)| {
            note.is_recorded = true;
            (credential.clone(), note.at)
        };
        unrecorded.map(take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_recorded_once_in_an_interval() {
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let credential = Credential::Client("acme".parse().expect("a valid id"));
        let notes = UseNotes::default();
        for secs in [100, 130, 159] {
            notes.note(&credential, at(secs));
        }
        assert_eq!(notes.take(at(159)), [(credential.clone(), at(100))]);
        notes.note(&credential, at(159));
        assert!(notes.take(at(159)).is_empty());
        notes.note(&credential, at(160));
        assert_eq!(notes.take(at(161)), [(credential, at(160))]);
        assert!(notes.take(at(300)).is_empty());
        assert!(notes.0.lock().expect("no panic").is_empty(), "an old note is dropped");
    }
}
