//! The trace of an event: its SET on each stream, or the reason why there is none.

use std::{collections::HashMap, sync::Arc};

use crate::{
    domain::{
        id::{Jti, ProviderName, StreamId},
        judgement::asked_for,
        provider::Provider,
        reason::{Reason, StoredReason},
        stream::StreamConfig,
        subject::list::DefaultSubjects,
    },
    store::{
        archive::KeptSet,
        ledger::{EventRecord, RecordedEvent, WITHHELD_MAX},
    },
};

use super::{
    RequestError, Transmitter,
    operator::{StreamFilter, StreamPage},
};

/// The event that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The one that a SET speaks of.
    Jti(Jti),
    /// The last one with this id of its publisher.
    EventId { provider: ProviderName, id: String },
}

/// The trace of an event on some streams of its provider.
#[derive(Debug)]
pub struct Trace {
    pub provider: ProviderName,
    /// `None` of a control event, or if none was recorded, or not any more: then all that is known is
    /// the SET that was asked for.
    pub event: Option<RecordedEvent>,
    /// By id.
    pub streams: Vec<Traced>,
    /// Whether there are more streams behind them.
    pub more: bool,
}

#[derive(Debug)]
pub struct Traced {
    pub stream: Arc<StreamConfig>,
    /// The SET, and what repeats it under another `jti`; or why there is none.
    pub outcome: Result<Vec<KeptSet>, StoredReason>,
}

impl Transmitter {
    /// Up to `limit` streams of the event's provider, those behind `after`; or one alone.
    pub async fn trace(
        &self,
        asked: &Asked,
        only: Option<&StreamId>,
        after: Option<&StreamId>,
        limit: usize,
    ) -> Result<Trace, RequestError> {
        if let Some(id) = only {
            self.known(id)?;
        }
        let event = match asked {
            Asked::EventId { provider, id } => {
                let event = self.store.event_with_id(provider, id).await?;
                event.ok_or(RequestError::NothingKept)?
            }
            Asked::Jti(jti) => {
                let sets = self.store.sets_of_jti(jti).await?;
                let set = sets.into_iter().next().ok_or(RequestError::NothingKept)?;
                match self.event_of(&set).await? {
                    Some(event) => event,
                    None => return self.trace_set(set).await,
                }
            }
        };
        let provider = self.directory.provider(&event.provider);
        let provider = provider.ok_or(RequestError::NothingKept)?;
        let StreamPage { streams, more } = if let Some(id) = only {
            let own = self.known(id)?;
            let own = (own.provider == provider.name).then_some(own);
            StreamPage { streams: vec![own.ok_or(RequestError::StreamNotFound)?], more: false }
        } else {
            let (provider, after) = (Some(provider.name.clone()), after.cloned());
            let filter = StreamFilter { provider, after, ..StreamFilter::default() };
            self.list_streams(&filter, limit)
        };
        let origin = &event.origin;
        let sets = streams.iter().map(|stream| (stream.id.clone(), origin.jti(&stream.id)));
        let mut found: HashMap<StreamId, Vec<KeptSet>> = HashMap::new();
        for set in self.store.kept_sets(sets.collect()).await? {
            found.entry(set.stream.clone()).or_default().push(set);
        }
        let traced = streams.into_iter().map(|stream| {
            let sets = found.remove(&stream.id);
            let outcome = sets.ok_or_else(|| why_none(&stream, provider, &event));
            Traced { stream, outcome }
        });
        let streams = traced.collect();
        Ok(Trace { provider: provider.name.clone(), event: Some(event), streams, more })
    }

    /// The event that a SET speaks of. The SET does not name it, but was accepted with it, and has
    /// the `jti` that derives from it.
    async fn event_of(&self, set: &KeptSet) -> Result<Option<RecordedEvent>, RequestError> {
        let jti = set.copy_of.as_ref().unwrap_or(&set.jti);
        let events = self.store.events_accepted_at(&set.provider, set.accepted_at).await?;
        Ok(events.into_iter().find(|event| event.origin.jti(&set.stream) == *jti))
    }

    /// All that is known of a SET whose event is not.
    async fn trace_set(&self, set: KeptSet) -> Result<Trace, RequestError> {
        let stream = self.known(&set.stream)?;
        let jti = set.copy_of.clone().unwrap_or_else(|| set.jti.clone());
        let sets = self.store.kept_sets(vec![(set.stream, jti)]).await?;
        let streams = vec![Traced { stream, outcome: Ok(sets) }];
        Ok(Trace { provider: set.provider, event: None, streams, more: false })
    }
}

/// Tells why a stream has no SET of the event. What was recorded goes before what is configured now,
/// because the configuration may have been different then.
fn why_none(stream: &StreamConfig, provider: &Provider, event: &RecordedEvent) -> StoredReason {
    let RecordedEvent { accepted_at, record, .. } = event;
    let EventRecord { event_type, stream_ids, withheld, .. } = record;
    if *accepted_at < stream.created_at {
        return Reason::Later.into();
    }
    if let Some((_, reason)) = withheld.iter().find(|(id, _)| *id == stream.id) {
        return reason.clone();
    }
    let named = |id: &StreamId| stream_ids.as_ref().is_none_or(|named| named.contains(id));
    if let Err(reason) = asked_for(stream, event_type, provider, named) {
        return reason.into();
    }
    let reason = if stream.default_subjects == DefaultSubjects::None {
        Reason::Subject
    } else if WITHHELD_MAX <= withheld.len() {
        Reason::Unrecorded
    } else {
        Reason::NothingKept
    };
    reason.into()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{set::Origin, time::Timestamp};

    const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

    fn stream() -> StreamConfig {
        let requested = Some(vec![REVOKED.to_owned()]);
        StreamConfig { events_requested: requested, ..StreamConfig::example("st_1") }
    }

    fn event() -> RecordedEvent {
        RecordedEvent {
            provider: Provider::example().name,
            accepted_at: Timestamp::from_millis(i64::MAX),
            origin: Origin::drawn(Uuid::nil(), Timestamp::EPOCH),
            event_id: None,
            record: EventRecord {
                event_type: REVOKED.parse().expect("valid"),
                txn: None,
                stream_ids: None,
                withheld: vec![],
            },
        }
    }

    #[track_caller]
    fn check(stream: &StreamConfig, event: &RecordedEvent, label: &str) {
        assert_eq!(why_none(stream, &Provider::example(), event).label(), label);
    }

    fn recorded(change: impl FnOnce(&mut EventRecord)) -> RecordedEvent {
        let mut event = event();
        change(&mut event.record);
        event
    }

    #[test]
    fn each_reason_is_told_from_the_others() {
        let stream = stream();
        let early = Timestamp::from_millis(stream.created_at.as_millis() - 1);
        check(&stream, &RecordedEvent { accepted_at: early, ..event() }, "later");
        for reason in [Reason::Format, Reason::OptedOut, Reason::Disabled] {
            let withheld = vec![(stream.id.clone(), reason.into())];
            check(&stream, &recorded(|record| record.withheld = withheld), reason.label());
        }
        let other = "st_2".parse().expect("valid");
        check(&stream, &recorded(|record| record.stream_ids = Some(vec![other])), "not_named");
        let presented = "caep:session-presented".parse().expect("valid");
        check(&stream, &recorded(|record| record.event_type = presented), "not_requested");
        let custom = "urn:x:y".parse().expect("valid");
        check(&stream, &recorded(|record| record.event_type = custom), "not_supported");
        let chooses = StreamConfig { default_subjects: DefaultSubjects::None, ..stream.clone() };
        check(&chooses, &event(), "subject");
        let others = (0..WITHHELD_MAX)
            .map(|n| (format!("o{n}").parse().expect("valid"), Reason::Subject.into()));
        check(&stream, &recorded(|record| record.withheld = others.collect()), "unrecorded");
        check(&stream, &event(), "nothing_kept");
    }

    /// The recorded reason counts, even if the stream's present configuration would give another.
    #[test]
    fn what_was_recorded_goes_before_what_is_configured() {
        let deaf = StreamConfig { events_requested: None, ..stream() };
        let withheld = vec![(deaf.id.clone(), Reason::Subject.into())];
        check(&deaf, &recorded(|record| record.withheld = withheld), "subject");
    }
}
