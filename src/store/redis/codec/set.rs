//! A SET as it was appended. Its state is a value of its own ([`state`](super::state)), so that the claims
//! are written only once.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | kind: `0` an event, `1` a control event, `2` an announcement; the higher goes out first |
//! | 16 | lane, in hexadecimal digits |
//! | 16 | when it was put into the outbox, for the last time |
//! | 16 | when its event was accepted |
//! | 3, 3, 8 | the lengths of what follows: `jti`, the one that it repeats, identifiers |
//! | 1 | `c` if the claims follow, `-` once they were discarded |
//! | … | `jti`, the `jti` that it repeats, identifiers, claims |

use std::sync::Arc;

use super::{Parts, time, unreadable};
use crate::{
    delivery::{
        lane::Lane,
        outbox::{NewSet, SetKind},
    },
    domain::{id::Jti, time::Timestamp},
    store::StoreError,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::redis) struct SetEntry {
    pub(in crate::store::redis) kind: SetKind,
    pub(in crate::store::redis) lane: Lane,
    pub(in crate::store::redis) appended_at: Timestamp,
    pub(in crate::store::redis) accepted_at: Timestamp,
    pub(in crate::store::redis) jti: Jti,
    pub(in crate::store::redis) copy_of: Option<Jti>,
    pub(in crate::store::redis) identifiers: Option<Arc<str>>,
    pub(in crate::store::redis) claims: Option<Arc<str>>,
}

pub(in crate::store::redis) fn kind(kind: SetKind) -> &'static str {
    match kind {
        SetKind::Event => "0",
        SetKind::Control => "1",
        SetKind::Announcement => "2",
    }
}

pub(in crate::store::redis) fn lane(lane: Lane) -> String {
    format!("{:016x}", lane.as_i64().cast_unsigned())
}

impl SetEntry {
    /// A SET on its way into an outbox.
    pub(in crate::store::redis) fn new(set: &NewSet, now: Timestamp) -> Self {
        Self {
            kind: set.kind,
            lane: set.lane,
            appended_at: now,
            accepted_at: now,
            jti: set.jti.clone(),
            copy_of: None,
            identifiers: set.identifiers.clone(),
            claims: Some(Arc::clone(&set.claims)),
        }
    }

    pub(in crate::store::redis) fn encode(&self) -> Vec<u8> {
        let copy_of = self.copy_of.as_ref().map_or("", Jti::as_str);
        let identifiers = self.identifiers.as_deref().unwrap_or_default();
        let claims = self.claims.as_deref();
        let head = format!(
            "{}{}{}{}{:03}{:03}{:08}{}",
            kind(self.kind),
            lane(self.lane),
            time(self.appended_at),
            time(self.accepted_at),
            self.jti.as_str().len(),
            copy_of.len(),
            identifiers.len(),
            if claims.is_some() { 'c' } else { '-' },
        );
        let parts = [&head, self.jti.as_str(), copy_of, identifiers, claims.unwrap_or_default()];
        parts.concat().into_bytes()
    }

    pub(in crate::store::redis) fn decode(record: &[u8]) -> Result<Self, StoreError> {
        const WHAT: &str = "a SET";
        let mut parts = Parts::of(record, WHAT)?;
        let kind = match parts.text(1)? {
            "0" => SetKind::Event,
            "1" => SetKind::Control,
            "2" => SetKind::Announcement,
            _ => return Err(unreadable(WHAT)),
        };
        let lane = u64::from_str_radix(parts.text(16)?, 16).map_err(|_| unreadable(WHAT))?;
        let (appended_at, accepted_at) = (parts.time()?, parts.time()?);
        let (jti, copy_of, identifiers) = (parts.number(3)?, parts.number(3)?, parts.number(8)?);
        let has_claims = parts.text(1)? == "c";
        Ok(Self {
            kind,
            lane: Lane::from_i64(lane.cast_signed()),
            appended_at,
            accepted_at,
            jti: parts.parsed(jti)?,
            copy_of: if copy_of == 0 { None } else { Some(parts.parsed(copy_of)?) },
            identifiers: Some(parts.text(identifiers)?).filter(|t| !t.is_empty()).map(Arc::from),
            claims: has_claims.then(|| Arc::from(parts.rest())),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [SetKind; 3] = [SetKind::Event, SetKind::Control, SetKind::Announcement];

    fn any_record() -> impl Strategy<Value = SetEntry> {
        let jti = "[A-Za-z0-9._~-]{1,128}";
        let time = (0..=super::super::NUMBER_MAX).prop_map(Timestamp::from_millis);
        let head = (prop::sample::select(&KINDS[..]), any::<i64>(), time.clone(), time);
        let texts =
            (jti, prop::option::of(jti), prop::option::of(".{1,40}"), any::<Option<String>>());
        (head, texts).prop_map(|((kind, lane, appended_at, accepted_at), texts)| {
            let (jti, copy_of, identifiers, claims) = texts;
            SetEntry {
                kind,
                lane: Lane::from_i64(lane),
                appended_at,
                accepted_at,
                jti: jti.parse().expect("valid"),
                copy_of: copy_of.map(|jti| jti.parse().expect("valid")),
                identifiers: identifiers.map(Arc::from),
                claims: claims.map(Arc::from),
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(record in any_record()) {
            let read = SetEntry::decode(&record.encode()).expect("readable");
            prop_assert_eq!(read, record);
        }

        #[test]
        fn what_was_not_written_by_us_is_an_error(record in any::<Vec<u8>>()) {
            if let Ok(read) = SetEntry::decode(&record) {
                prop_assert_eq!(read.encode(), record);
            }
        }
    }

    #[test]
    fn the_head_is_as_the_scripts_read_it() {
        let record = SetEntry {
            kind: SetKind::Control,
            lane: Lane::from_i64(-2),
            appended_at: Timestamp::from_millis(7),
            accepted_at: Timestamp::from_millis(5),
            jti: "j1".parse().expect("valid"),
            copy_of: Some("j0".parse().expect("valid")),
            identifiers: Some("[1]".into()),
            claims: Some("{}".into()),
        };
        let expected = "1fffffffffffffffe0000000000000007000000000000000500200200000003cj1j0[1]{}";
        assert_eq!(String::from_utf8(record.encode()).expect("text"), expected);
    }
}
