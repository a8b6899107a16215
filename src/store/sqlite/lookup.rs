//! Looks up the streams that have a subject on their list, and the SETs about subjects that are not.

use std::{collections::BTreeSet, ops::RangeInclusive};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{row, streams};
use crate::{
    delivery::outbox::{PendingSet, Seq, SetKind},
    domain::{
        id::{ProviderName, StreamId},
        subject::{
            keys::{Probe, SubjectKey, SubjectKeys, SubjectShape},
            list::DefaultSubjects,
        },
        time::Timestamp,
    },
    store::about::subject_of,
};

const SHAPES: &str = "SELECT shape FROM subject_shapes INDEXED BY subject_shapes_of_provider
    WHERE provider = ?1";

const WHOLE: &str = "SELECT stream FROM subjects
    WHERE filed = ?1 AND stream BETWEEN ?2 AND ?3
        AND since <= ?4 AND (until IS NULL OR ?4 < until)";

/// The first entry behind this one of this stream.
const NEXT: &str = "SELECT stream, entry FROM subjects
    WHERE filed = ?1 AND (stream, entry) > (?2, ?3) AND stream <= ?4
        AND since <= ?5 AND (until IS NULL OR ?5 < until)
    ORDER BY stream, entry LIMIT 1";

const IS_FILED: &str = "SELECT EXISTS (
        SELECT 1 FROM subjects WHERE filed = ?1 AND stream = ?2 AND entry = ?3
    )";

const SOME: &str = "SELECT count(*) FROM (
        SELECT 1 FROM subjects WHERE filed = ?1 AND stream BETWEEN ?2 AND ?3 LIMIT 64
    )";

const STREAM: &str = "SELECT key, provider, default_subjects, listed FROM streams WHERE id = ?1";

const IDENTIFIERS: &str = "SELECT identifiers FROM outbox WHERE seq = ?1";

/// A key behind every other entry of a stream.
const LAST: [u8; 16] = [0xff; 16];

/// Looks into the lists of some or all streams of one provider, as they are at one time.
pub(super) struct Lookup<'a> {
    db: &'a Connection,
    provider: ProviderName,
    streams: RangeInclusive<i64>,
    now: i64,
    /// Loaded with the first complex subject.
    shapes: Option<Vec<SubjectShape>>,
}

impl<'a> Lookup<'a> {
    /// Looks into all lists. The lists of other providers have no key in common with this provider's.
    pub(super) fn of_all(db: &'a Connection, provider: ProviderName, now: Timestamp) -> Self {
        Self { db, provider, streams: 0..=i64::MAX, now: now.as_millis(), shapes: None }
    }

    /// Returns the streams with an entry that matches the subject.
    pub(super) fn matching(&mut self, subject: &SubjectKeys) -> rusqlite::Result<BTreeSet<i64>> {
        let shapes = if subject.is_complex() { self.shapes()? } else { &[] };
        let mut found = BTreeSet::new();
        for probe in subject.probes(shapes) {
            match probe {
                Probe::Whole(key) => found.append(&mut self.whole(key)?),
                Probe::Members(keys) => self.members(keys, &mut found)?,
            }
        }
        Ok(found)
    }

    /// Returns the streams with an entry for the identical subject, under any of its identifiers.
    pub(super) fn identical(&self, subject: &SubjectKeys) -> rusqlite::Result<BTreeSet<i64>> {
        let mut found = BTreeSet::new();
        for key in subject.identities() {
            found.append(&mut self.whole(key)?);
        }
        Ok(found)
    }

    fn shapes(&mut self) -> rusqlite::Result<&[SubjectShape]> {
        if self.shapes.is_none() {
            let mut find = self.db.prepare_cached(SHAPES)?;
            let shapes = find.query_map([self.provider.as_str()], |found| row::json(found, 0))?;
            self.shapes = Some(shapes.collect::<rusqlite::Result<_>>()?);
        }
        Ok(self.shapes.as_deref().unwrap_or_default())
    }

    fn whole(&self, key: SubjectKey) -> rusqlite::Result<BTreeSet<i64>> {
        let mut find = self.db.prepare_cached(WHOLE)?;
        let (first, last) = (self.streams.start(), self.streams.end());
        find.query_map(params![key.0, first, last, self.now], |found| found.get(0))?.collect()
    }

    /// Goes from stream to stream and not from entry to entry, because one matching entry is enough.
    fn members(
        &self,
        mut keys: Vec<SubjectKey>,
        found: &mut BTreeSet<i64>,
    ) -> rusqlite::Result<()> {
        if 1 < keys.len() {
            self.rarest_first(&mut keys)?;
        }
        let (walked, others) = keys.split_first().expect("a probe has a key");
        let mut next = self.db.prepare_cached(NEXT)?;
        let mut is_filed = self.db.prepare_cached(IS_FILED)?;
        let mut behind = (self.streams.start() - 1, LAST);
        loop {
            let place = params![walked.0, behind.0, behind.1, self.streams.end(), self.now];
            let read = |found: &rusqlite::Row<'_>| Ok((found.get(0)?, found.get(1)?));
            let at: Option<(i64, [u8; 16])> = next.query_row(place, read).optional()?;
            let Some((stream, entry)) = at else { return Ok(()) };
            let mut matches = true;
            for other in others {
                let place = params![other.0, stream, entry];
                matches &= is_filed.query_row(place, |found| found.get::<_, bool>(0))?;
            }
            if matches {
                found.insert(stream);
            }
            behind = (stream, if matches { LAST } else { entry });
        }
    }

    /// Walks the entries of the member with the fewest: a tenant has many entries where a user has few.
    fn rarest_first(&self, keys: &mut [SubjectKey]) -> rusqlite::Result<()> {
        let mut count = self.db.prepare_cached(SOME)?;
        let (first, last) = (self.streams.start(), self.streams.end());
        let mut rarest = (i64::MAX, 0);
        for (at, key) in keys.iter().enumerate() {
            let entries = count.query_row(params![key.0, first, last], |found| found.get(0))?;
            rarest = rarest.min((entries, at));
        }
        keys.swap(0, rarest.1);
        Ok(())
    }
}

/// Judges the SETs of one stream before they are sent, because a subject may have been removed since.
pub(super) struct TableJudge<'a> {
    stream: &'a StreamId,
    default: DefaultSubjects,
    lookup: Lookup<'a>,
}

impl<'a> TableJudge<'a> {
    /// Returns `None` if every subject is on the stream.
    pub(super) fn of(
        db: &'a Connection,
        stream: &'a StreamId,
        now: Timestamp,
    ) -> rusqlite::Result<Option<Self>> {
        let read = |found: &rusqlite::Row<'_>| {
            let default = streams::read_default_subjects(found, 2)?;
            let listed: i64 = found.get(3)?;
            if default == DefaultSubjects::All && listed == 0 {
                return Ok(None);
            }
            let key: i64 = found.get(0)?;
            let all = Lookup::of_all(db, row::text(found, 1)?, now);
            Ok(Some(Self { stream, default, lookup: Lookup { streams: key..=key, ..all } }))
        };
        let found = db.prepare_cached(STREAM)?.query_row([stream.as_str()], read).optional()?;
        Ok(found.flatten())
    }

    /// Returns the SETs that must not be sent.
    pub(super) fn unwanted(&mut self, sets: &[PendingSet]) -> rusqlite::Result<Vec<Seq>> {
        let mut unwanted = Vec::new();
        for set in sets.iter().filter(|set| set.kind == SetKind::Event) {
            if !self.wants(set)? {
                unwanted.push(set.seq);
            }
        }
        Ok(unwanted)
    }

    fn wants(&mut self, set: &PendingSet) -> rusqlite::Result<bool> {
        let mut find = self.lookup.db.prepare_cached(IDENTIFIERS)?;
        let identifiers: Option<Option<String>> =
            find.query_row([set.seq.0], |found| found.get(0)).optional()?;
        let Some(subject) = subject_of(&set.claims, identifiers.flatten().as_deref()) else {
            // A subject that cannot be read is on no list.
            return Ok(self.default == DefaultSubjects::All);
        };
        if subject.streams().contains(self.stream) {
            return Ok(true);
        }
        let keys = SubjectKeys::of_event(&self.lookup.provider, &subject);
        Ok(match self.default {
            DefaultSubjects::All => self.lookup.identical(&keys)?.is_empty(),
            DefaultSubjects::None => !self.lookup.matching(&keys)?.is_empty(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::plan::plan;

    #[test]
    fn a_look_up_goes_straight_to_what_is_filed() {
        let within = "SEARCH subjects USING PRIMARY KEY (filed=? AND stream>? AND stream<?)";
        assert_eq!(plan(WHOLE), [within]);
        // One step from one stream to the next, however many entries lie between.
        let next =
            "SEARCH subjects USING PRIMARY KEY (filed=? AND (stream,entry)>(?,?) AND stream<?)";
        assert_eq!(plan(NEXT), [next]);
        assert!(
            plan(IS_FILED).iter().any(|step| step.contains("(filed=? AND stream=? AND entry=?)"))
        );
        assert!(plan(SOME).iter().any(|step| step == within));
        assert_eq!(plan(IDENTIFIERS), ["SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)"]);
    }
}
