//! Counts and digests of items. They are equal for two stores that hold the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use aws_lc_rs::digest::{Context, SHA256};

use crate::{
    delivery::outbox::SetKind,
    domain::{
        id::Jti,
        secret::Secret,
        stream::{PushEndpoint, StreamConfig},
        time::Timestamp,
    },
    store::{
        archive::SetState,
        ledger::RecordedEvent,
        portable::{Apart, EventId, Item, ItemKind, ListRow, Marks, WholeSet},
        records::{BelongsTo, RawRecord},
    },
};

/// The number of items of one kind, and a digest of all of them. The digest depends on the order of the
/// SETs of a stream, and on no other order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub count: u64,
    /// The sum of the SHA-256 digests of the items, in four parts.
    sum: [u64; 4],
}

impl Tally {
    fn add(&mut self, digest: [u64; 4]) {
        self.merge(&Self { count: 1, sum: digest });
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        for (sum, part) in self.sum.iter_mut().zip(other.sum) {
            *sum = sum.wrapping_add(part);
        }
    }
}

/// Writes the digest in hexadecimal digits.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sum.iter().try_for_each(|part| write!(f, "{part:016x}"))
    }
}

/// The tallies of all kinds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tallies {
    kinds: BTreeMap<ItemKind, Tally>,
    /// When the newest SET was appended, or the newest event was accepted.
    pub newest: Option<Timestamp>,
}

impl Tallies {
    pub fn of(&self, kind: &ItemKind) -> Tally {
        self.kinds.get(kind).copied().unwrap_or_default()
    }

    /// Returns the kinds of which there is something.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &ItemKind> {
        self.kinds.keys()
    }

    /// Counts everything.
    pub(super) fn count(&self) -> u64 {
        self.kinds.values().map(|tally| tally.count).sum()
    }

    /// Counts one group.
    pub(super) fn count_of(&self, group: Apart) -> u64 {
        let of_group = self.kinds.iter().filter(|(kind, _)| kind.group() == Some(group));
        of_group.map(|(_, tally)| tally.count).sum()
    }

    /// Counts an item. `place` is the place of a SET in its stream.
    pub(super) fn add(&mut self, record: &Item, place: u64) {
        let at = match record {
            Item::Set(set) => Some(set.appended_at),
            Item::Event(event) => Some(event.accepted_at),
            _ => None,
        };
        self.newest = self.newest.max(at);
        self.kinds.entry(record.kind()).or_default().add(digest(record, place));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.newest = self.newest.max(other.newest);
        for (kind, tally) in &other.kinds {
            self.kinds.entry(kind.clone()).or_default().merge(tally);
        }
    }

    /// Returns the first kind that differs.
    pub(super) fn differs(&self, other: &Self) -> Option<ItemKind> {
        let kinds: BTreeSet<_> = self.kinds().chain(other.kinds()).collect();
        kinds.into_iter().find(|kind| self.of(kind) != other.of(kind)).cloned()
    }
}

fn digest(record: &Item, place: u64) -> [u64; 4] {
    let mut fields = Fields(Context::new(&SHA256));
    fields.text(record.kind().as_str());
    match record {
        Item::Stream(stream) => fields.stream(stream),
        Item::Subject(row) => fields.row(row),
        Item::Set(set) => fields.set(set, place),
        Item::Record(record) => fields.record(record),
        Item::OptOut { identifier, account } => {
            fields.bytes(&identifier.0);
            fields.bytes(&account.0);
        }
        Item::EventId(EventId { provider, event_id, at, origin, begun, kept_longer }) => {
            fields.text(provider.as_str());
            fields.text(event_id);
            fields.time(*at);
            fields.text(&kept_longer.as_millis().to_string());
            // Otherwise the origin is that of the recorded event, and counts there.
            let begun_by = origin.as_ref().filter(|_| *begun);
            fields.optional(begun_by, |fields, origin| fields.bytes(origin.as_bytes()));
        }
        Item::Event(event) => fields.event(event),
        Item::Position { partition, position } => {
            fields.text(partition);
            fields.text(&format!("{} {}", position.epoch, position.entry));
        }
        Item::Marks(Marks { ids_before }) => fields.optional(*ids_before, Fields::time),
    }
    fields.end()
}

/// Digests the fields of an item one after the other, each with its length, so that no two items give the
/// same bytes.
struct Fields(Context);

impl Fields {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn time(&mut self, at: Timestamp) {
        self.bytes(&at.as_millis().to_be_bytes());
    }

    fn optional<T>(&mut self, value: Option<T>, field: impl FnOnce(&mut Self, T)) {
        self.bytes(&[u8::from(value.is_some())]);
        if let Some(value) = value {
            field(self, value);
        }
    }

    fn list<T>(&mut self, values: &[T], field: impl Fn(&mut Self, &T)) {
        self.bytes(&(values.len() as u64).to_be_bytes());
        for value in values {
            field(self, value);
        }
    }

    fn json(&mut self, value: &impl serde::Serialize) {
        self.text(&serde_json::to_string(value).expect("names and lists of them are JSON"));
    }

    fn stream(&mut self, config: &StreamConfig) {
        let endpoint = config.endpoint();
        let secret = endpoint.and_then(PushEndpoint::authorization_header).map(Secret::expose);
        for text in [config.id.as_str(), config.provider.as_str(), config.receiver.as_str()] {
            self.text(text);
        }
        self.json(&config.audience);
        self.optional(config.events_requested.as_deref(), |fields, types| {
            fields.list(types, |fields, one| fields.text(one));
        });
        self.optional(endpoint.map(PushEndpoint::as_given), Self::text);
        self.optional(secret, Self::text);
        self.optional(config.description.as_deref(), Self::text);
        self.text(config.default_subjects.as_str());
        self.text(config.subject_format.as_str());
        self.text(config.status.as_str());
        self.optional(config.reason.as_deref(), Self::text);
        self.bytes(&config.version.to_be_bytes());
        self.time(config.created_at);
    }

    fn row(&mut self, row: &ListRow) {
        self.text(row.stream.as_str());
        self.bytes(&row.entry.0);
        self.bytes(&row.filed.0);
        self.time(row.since);
        self.optional(row.until, Self::time);
        self.optional(row.shape.as_ref(), Self::json);
    }

    fn set(&mut self, set: &WholeSet, place: u64) {
        self.bytes(&place.to_be_bytes());
        self.text(set.stream.as_str());
        self.text(set.jti.as_str());
        self.optional(set.copy_of.as_ref().map(Jti::as_str), Self::text);
        self.text(match set.kind {
            SetKind::Event => "event",
            SetKind::Control => "control",
            SetKind::Announcement => "announcement",
        });
        self.bytes(&set.lane.as_i64().to_be_bytes());
        self.optional(set.claims.as_deref(), Self::text);
        self.optional(set.identifiers.as_deref(), Self::text);
        self.time(set.accepted_at);
        self.time(set.appended_at);
        self.bytes(&set.attempts.to_be_bytes());
        match &set.state {
            SetState::Waiting { due_at, error } => {
                self.time(*due_at);
                self.optional(error.as_deref(), Self::text);
            }
            SetState::Sent { at } => self.time(*at),
            SetState::Dead { at, reason, detail } => {
                self.time(*at);
                self.text(reason.label());
                self.text(detail);
            }
            SetState::Discarded { at, reason } => {
                self.time(*at);
                self.text(reason.label());
            }
        }
    }

    /// The version is left out, because each store gives its own.
    fn record(&mut self, record: &RawRecord) {
        self.text(&record.name.to_string());
        match &record.belongs_to {
            BelongsTo::Nothing => self.text(""),
            BelongsTo::Record(owner) => self.text(&owner.to_string()),
            BelongsTo::Stream(stream) => self.text(stream.as_str()),
        }
        self.bytes(&record.format.to_be_bytes());
        self.time(record.made_at);
        self.optional(record.expires_at, Self::time);
        self.text(&record.value);
    }

    fn event(&mut self, event: &RecordedEvent) {
        let RecordedEvent { provider, accepted_at, origin, event_id, record } = event;
        self.text(provider.as_str());
        self.time(*accepted_at);
        self.bytes(origin.id().as_bytes());
        self.optional(origin.place(), Self::text);
        self.optional(event_id.as_deref(), Self::text);
        self.text(&record.event_type.short_name());
        self.optional(record.txn.as_deref(), Self::text);
        self.optional(record.stream_ids.as_deref(), |fields, streams| {
            fields.list(streams, |fields, stream| fields.text(stream.as_str()));
        });
        self.list(&record.withheld, |fields, (stream, reason)| {
            fields.text(stream.as_str());
            fields.text(reason.label());
        });
    }

    fn end(self) -> [u64; 4] {
        let digest = self.0.finish();
        let mut parts = digest
            .as_ref()
            .chunks_exact(8)
            .map(|part| u64::from_be_bytes(part.try_into().expect("a chunk has its length")));
        std::array::from_fn(|_| parts.next().expect("SHA-256 has four times eight bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{delivery::lane::Lane, domain::subject::keys::SubjectKey};

    fn set(jti: &str) -> Item {
        let at = Timestamp::from_millis(5);
        Item::Set(Box::new(WholeSet {
            stream: "st_1".parse().expect("valid"),
            jti: jti.parse().expect("valid"),
            copy_of: None,
            kind: SetKind::Event,
            lane: Lane::from_i64(1),
            claims: Some("{}".into()),
            identifiers: None,
            accepted_at: at,
            appended_at: at,
            attempts: 0,
            state: SetState::Waiting { due_at: at, error: None },
        }))
    }

    fn opt_out(identifier: u8) -> Item {
        let [identifier, account] = [identifier, 0].map(|byte| SubjectKey([byte; 16]));
        Item::OptOut { identifier, account }
    }

    fn tallied(records: &[Item]) -> Tallies {
        let mut tallies = Tallies::default();
        for (record, place) in records.iter().zip(0..) {
            tallies.add(record, place);
        }
        tallies
    }

    #[test]
    fn the_order_of_sets_counts_and_no_other_does() {
        let (one, other) = (set("j1"), set("j2"));
        let here = tallied(&[one.clone(), other.clone()]);
        assert_eq!(here, tallied(&[one.clone(), other.clone()]));
        assert_eq!(here.differs(&tallied(&[other, one])), Some(ItemKind::Waiting));
        assert_eq!(tallied(&[opt_out(1), opt_out(2)]), tallied(&[opt_out(2), opt_out(1)]));
    }

    #[test]
    fn every_member_of_a_set_counts() {
        let Item::Set(whole) = set("j1") else { unreachable!("it is one") };
        let at = Timestamp::from_millis(6);
        let changes: [fn(&mut WholeSet); 8] = [
            |set| set.copy_of = Some(set.jti.clone()),
            |set| set.kind = SetKind::Control,
            |set| set.lane = Lane::from_i64(2),
            |set| set.claims = None,
            |set| set.identifiers = Some("[]".into()),
            |set| set.accepted_at = Timestamp::EPOCH,
            |set| set.attempts = 1,
            |set| set.state = SetState::Sent { at: set.appended_at },
        ];
        let before = digest(&Item::Set(whole.clone()), 0);
        for (n, change) in changes.into_iter().enumerate() {
            let mut other = whole.clone();
            change(&mut other);
            assert_ne!(digest(&Item::Set(other), 0), before, "{n}");
        }
        let mut later = whole;
        later.state = SetState::Waiting { due_at: at, error: None };
        assert_ne!(digest(&Item::Set(later), 0), before);
    }
}
