//! Judges the SETs of one stream before they are sent, because a subject may have been removed since.

use super::{
    codec::{self, Parts},
    lists::{self, ListMatch},
    outbox::Found,
    slots::Slots,
};
use crate::{
    delivery::outbox::{Seq, SetKind},
    domain::{
        id::{ProviderName, StreamId},
        subject::{keys::SubjectKeys, list::DefaultSubjects},
        time::Timestamp,
    },
    store::{StoreError, about::subject_of},
};

pub(super) struct SlotJudge {
    stream: StreamId,
    default: DefaultSubjects,
    provider: ProviderName,
}

impl SlotJudge {
    /// Reads what a script returned as `judged_by` (`slot.lua`). Returns `None` if every subject is on the
    /// stream.
    pub(super) fn of(judged_by: &[u8], stream: &StreamId) -> Result<Option<Self>, StoreError> {
        if judged_by.is_empty() {
            return Ok(None);
        }
        let mut parts = Parts::of(judged_by, "a stream")?;
        let default = codec::stream::default_subjects(parts.text(1)?)?;
        let provider = codec::parsed(parts.rest().to_owned())?;
        Ok(Some(Self { stream: stream.clone(), default, provider }))
    }

    /// Returns the SETs that must not be sent.
    pub(super) async fn unwanted(
        &self,
        slots: &Slots,
        sets: &[Found],
        now: Timestamp,
    ) -> Result<Vec<Seq>, StoreError> {
        let (mut unwanted, mut asked) = (Vec::new(), Vec::new());
        for found in sets.iter().filter(|found| found.set.kind == SetKind::Event) {
            let claims = found.set.claims.as_deref().unwrap_or_default();
            match subject_of(claims, found.set.identifiers.as_deref()) {
                Some(subject) if subject.streams().contains(&self.stream) => {}
                Some(subject) => {
                    asked.push((found.seq, SubjectKeys::of_event(&self.provider, &subject)));
                }
                // A subject that cannot be read is on no list.
                None if self.default == DefaultSubjects::All => {}
                None => unwanted.push(found.seq),
            }
        }
        let keys: Vec<_> = asked.iter().map(|(_, keys)| keys.clone()).collect();
        let about = match self.default {
            DefaultSubjects::All => ListMatch::Identical,
            DefaultSubjects::None => ListMatch::Matching,
        };
        let listed =
            lists::on_list_of(slots, &self.provider, &self.stream, &keys, about, now).await?;
        for ((seq, _), listed) in asked.iter().zip(listed) {
            if listed == (self.default == DefaultSubjects::All) {
                unwanted.push(*seq);
            }
        }
        Ok(unwanted)
    }
}
