//! Native records that gave no event, kept for an operator.

use std::time::Duration;

use serde_json::Value;

use super::{Source, hash};
use crate::{
    clock,
    domain::time::Timestamp,
    store::{
        StoreError,
        records::rejected_record::{RejectedRecord, RejectedRecordStore as _},
    },
};

/// The most records of one request that are kept. Further ones are only counted, so that one bad request
/// does not drive out all others.
pub(super) const KEPT_PER_REQUEST_MAX: usize = 100;
/// The largest record that is kept, in bytes of its JSON. Of a larger one only the reason is kept.
pub(super) const RECORD_BYTES_MAX: usize = 16 << 10;
/// The longest text of a record that is kept beside it, in characters.
const TEXT_CHARS_MAX: usize = 512;

/// A record that is rejected.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Reject {
    pub(super) rule: Option<String>,
    pub(super) path: Option<String>,
    pub(super) why: String,
    pub(super) alarm: bool,
    pub(super) native_id: Option<String>,
    pub(super) native_type: Option<String>,
    pub(super) record: Option<Value>,
}

fn short(text: String) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

/// Replaces the values at these places.
fn redacted(mut record: Value, places: &[String]) -> Value {
    for place in places {
        if let Some(value) = record.pointer_mut(place) {
            *value = Value::from("[redacted]");
        }
    }
    record
}

impl Source {
    /// Keeps rejected records within the bounds of the source, and raises the alarms among them.
    pub(super) async fn keep_rejects(
        &self,
        rejects: Vec<Reject>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.tell(&rejects);
        let retention = self.parts.bounds.rejected_retention;
        let kept = rejects.into_iter().take(KEPT_PER_REQUEST_MAX);
        let kept: Vec<_> = kept.map(|reject| self.record(reject, now, retention)).collect();
        self.services.store.reject(&kept, self.parts.bounds.rejected_max).await
    }

    fn record(&self, reject: Reject, now: Timestamp, retention: Duration) -> RejectedRecord {
        let Reject { rule, path, why, alarm, native_id, native_type, record } = reject;
        let text = record.as_ref().map(Value::to_string).unwrap_or_default();
        let id = hash(&format!("{}\u{0}{why}\u{0}{text}", rule.as_deref().unwrap_or_default()));
        let record = record.filter(|_| text.len() <= RECORD_BYTES_MAX);
        RejectedRecord {
            provider: self.parts.provider.name.clone(),
            source: self.parts.name.clone(),
            id,
            rejected_at: now.as_millis(),
            expires_at: (now + retention).as_millis(),
            rule,
            path,
            why: short(why),
            alarm,
            native_id: native_id.map(short),
            native_type: native_type.map(short),
            record: record.map(|record| redacted(record, &self.parts.bounds.redact)),
        }
    }

    /// Writes one line about rejected records, and one about alarms. The records go to no log.
    fn tell(&self, rejects: &[Reject]) {
        for alarm in [true, false] {
            let Some(first) = rejects.iter().find(|reject| reject.alarm == alarm) else { continue };
            let kind = if alarm { "alarm" } else { "rejected" };
            let Some(left_out) = self.log.admit(kind, clock::instant()) else { continue };
            let count = rejects.iter().filter(|reject| reject.alarm == alarm).count();
            let (source, rule, why) = (self.label(), first.rule.as_deref(), first.why.as_str());
            if alarm {
                tracing::error!(source, rule, why, count, left_out, "a rule raises an alarm");
            } else {
                tracing::warn!(
                    source,
                    rule,
                    why,
                    count,
                    left_out,
                    "records of a source were rejected; `ssfd sources rejected` lists them"
                );
            }
        }
    }

    /// Returns the rejected records that are kept, the youngest first.
    pub async fn rejected(&self, now: Timestamp) -> Result<Vec<RejectedRecord>, StoreError> {
        let (provider, source) = (&self.parts.provider.name, &self.parts.name);
        self.services.store.rejected_records(provider, source, now).await
    }

    /// Removes all rejected records that are kept.
    pub async fn clear_rejected(&self) -> Result<(), StoreError> {
        let (provider, source) = (&self.parts.provider.name, &self.parts.name);
        self.services.store.clear_rejected(provider, source).await.map(drop)
    }
}
