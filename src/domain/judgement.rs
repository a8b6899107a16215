//! Judges an event against the streams of its provider: whether a stream gets the event, by which
//! identifier it names the subject, and if not, why.
//!
//! Everything that asks this question reads the answer of [`Judgement`]. Publishing judges each
//! candidate that the directory's index finds ([`Judgement::of_candidate`]) and leaves the rest to the
//! store, which judges the stream's status and the account's choice in the step that appends. A dry run
//! of `explain` judges every stream in full ([`Judgement::judge`]). A trace has no more than the record
//! of an event, and judges by [`asked_for`].

use std::{borrow::Cow, cell::OnceCell, collections::BTreeSet};

use crate::domain::{
    event::Event,
    event_type::EventType,
    id::StreamId,
    provider::Provider,
    reason::Reason,
    set::event_type_of,
    status::StreamStatus,
    stream::StreamConfig,
    subject::{
        SubjectId,
        format::SubjectFormat,
        list::{DefaultSubjects, Listed},
    },
};

/// The answer for one stream. `T` is the identifier that the SET carries, or what is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged<T> {
    /// The stream gets the event.
    Sent(T),
    /// The stream gets the event, and holds it until the stream is enabled again (SSF §8.1.2.1).
    Held(T),
    NotSent(Reason),
}

impl<T> Judged<T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Judged<U> {
        match self {
            Self::Sent(one) => Judged::Sent(change(one)),
            Self::Held(one) => Judged::Held(change(one)),
            Self::NotSent(reason) => Judged::NotSent(reason),
        }
    }
}

/// One event, prepared to be judged against many streams: whatever is the same for all of them is
/// worked out once.
#[derive(Debug)]
pub struct Judgement<'a> {
    provider: &'a Provider,
    event_type: &'a EventType,
    /// The streams that the publisher named, if it named any.
    named: Option<BTreeSet<&'a StreamId>>,
    /// The streams that the subject stands for. A stream's own subject is always on it (SSF §8.1.4.1).
    own: Vec<StreamId>,
    listed: &'a Listed,
    identifiers: Identifiers<'a>,
}

impl<'a> Judgement<'a> {
    /// `listed` are the streams that have the subject on their lists.
    pub fn new(provider: &'a Provider, event: &'a Event, listed: &'a Listed) -> Self {
        Self {
            provider,
            event_type: &event.event_type,
            named: event.stream_ids.as_ref().map(|named| named.iter().collect()),
            own: event.subject.streams(),
            listed,
            identifiers: Identifiers::of(event),
        }
    }

    pub fn event_type(&self) -> &'a EventType {
        self.event_type
    }

    /// Returns the streams that the publisher named, if it named any.
    pub fn named(&self) -> Option<&BTreeSet<&'a StreamId>> {
        self.named.as_ref()
    }

    pub fn is_named(&self, stream: &StreamId) -> bool {
        self.named.as_ref().is_none_or(|named| named.contains(stream))
    }

    /// Returns the streams without a subject by default that have this one.
    pub fn added(&self) -> impl Iterator<Item = &StreamId> {
        self.listed.added.iter().chain(&self.own)
    }

    /// Judges the event by the stream's configuration and lists, but for its status. Returns the
    /// identifier that the SET carries.
    pub fn addressed(&self, stream: &StreamConfig) -> Result<&SubjectId, Reason> {
        asked_for(stream, self.event_type, self.provider, |id| self.is_named(id))?;
        self.of_candidate(stream)
    }

    /// Does the same for a candidate of the directory's index, which has streams that were named and
    /// asked for the type, and no others: these rules are not judged again for each of many streams.
    pub fn of_candidate(&self, stream: &StreamConfig) -> Result<&SubjectId, Reason> {
        let Listed { added, removed } = self.listed;
        let on_stream = match stream.default_subjects {
            DefaultSubjects::All => !removed.contains(&stream.id),
            DefaultSubjects::None => added.contains(&stream.id),
        };
        if !on_stream && !self.own.contains(&stream.id) {
            return Err(Reason::Subject);
        }
        self.identifiers.in_form(stream.subject_format).ok_or(Reason::Format)
    }

    /// Judges the event in full. `opted_out`: the account that the event is about has opted out.
    pub fn judge(&self, stream: &StreamConfig, opted_out: bool) -> Judged<&SubjectId> {
        match self.addressed(stream) {
            Err(reason) => Judged::NotSent(reason),
            Ok(_) if opted_out => Judged::NotSent(Reason::OptedOut),
            Ok(identifier) => match stream.status {
                StreamStatus::Enabled => Judged::Sent(identifier),
                StreamStatus::Paused => Judged::Held(identifier),
                StreamStatus::Disabled => Judged::NotSent(Reason::Disabled),
            },
        }
    }
}

/// Judges by what the publisher and the Receiver asked for, before any subject counts.
pub fn asked_for(
    stream: &StreamConfig,
    event_type: &EventType,
    provider: &Provider,
    is_named: impl FnOnce(&StreamId) -> bool,
) -> Result<(), Reason> {
    if !is_named(&stream.id) {
        return Err(Reason::NotNamed);
    }
    if !provider.takes(event_type) {
        return Err(Reason::NotSupported);
    }
    let requested = stream.events_requested.as_deref().unwrap_or_default();
    if requested.iter().any(|uri| uri == event_type.as_str()) {
        Ok(())
    } else if stream.asks_in_vain(provider) {
        Err(Reason::NoneSupported)
    } else {
        Err(Reason::NotRequested)
    }
}

/// Tells whether a stream still asks for the type of a SET that was made earlier. `claims` are those of
/// the SET; of a SET whose type cannot be read nothing is known, so it is sent.
pub fn still_requested(stream: &StreamConfig, claims: &str) -> bool {
    let Some(event_type) = event_type_of(claims) else { return true };
    let requested = stream.events_requested.as_deref().unwrap_or_default();
    requested.contains(&event_type)
}

/// The identifier of an event's subject in each form. Most events go to streams of one form, so each is
/// chosen once, when it is first asked for.
#[derive(Debug)]
pub struct Identifiers<'a> {
    event: &'a Event,
    chosen: [OnceCell<Option<Cow<'a, SubjectId>>>; SubjectFormat::ALL.len()],
}

impl<'a> Identifiers<'a> {
    pub fn of(event: &'a Event) -> Self {
        Self { event, chosen: Default::default() }
    }

    /// Returns the identifier that SETs of a stream of this form carry, if the event has one.
    pub fn in_form(&self, format: SubjectFormat) -> Option<&SubjectId> {
        if format == SubjectFormat::AsPublished {
            return Some(self.event.subject.id());
        }
        let choose = || format.choose(&self.event.subject, self.event.event_type.fixes_subject());
        self.chosen[format as usize].get_or_init(choose).as_deref()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

    fn stream() -> StreamConfig {
        let requested = Some(vec![REVOKED.to_owned()]);
        StreamConfig { events_requested: requested, ..StreamConfig::example("st_1") }
    }

    #[track_caller]
    fn check(
        stream: &StreamConfig,
        more: Value,
        listed: &Listed,
        opted_out: bool,
        expected: Judged<()>,
    ) {
        let provider = Provider::example();
        let mut event =
            json!({"type": "caep:session-revoked", "sub_id": {"format": "opaque", "id": "u-1"}});
        event
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("members").clone());
        let event = Event::from_json(event, &provider).expect("a valid event");
        let judgement = Judgement::new(&provider, &event, listed);
        assert_eq!(judgement.judge(stream, opted_out).map(|_| ()), expected);
    }

    #[test]
    fn each_stream_gets_one_answer() {
        let (none, plain) = (Listed::default(), json!({}));
        check(&stream(), plain.clone(), &none, false, Judged::Sent(()));
        let with = |status| StreamConfig { status, ..stream() };
        check(&with(StreamStatus::Paused), plain.clone(), &none, false, Judged::Held(()));
        let not_sent = |stream: &StreamConfig, more: Value, listed: &Listed, opted_out, reason| {
            check(stream, more, listed, opted_out, Judged::NotSent(reason));
        };
        not_sent(&with(StreamStatus::Disabled), plain.clone(), &none, false, Reason::Disabled);
        not_sent(&stream(), plain.clone(), &none, true, Reason::OptedOut);
        not_sent(&stream(), json!({"stream_ids": ["st_2"]}), &none, false, Reason::NotNamed);
        let unsupported = json!({"type": "risc:sessions-revoked"});
        not_sent(&stream(), unsupported, &none, false, Reason::NotSupported);
        for unknown in ["*", "urn:x:y"] {
            let requested = Some(vec![unknown.to_owned()]);
            let vain = StreamConfig { events_requested: requested, ..stream() };
            not_sent(&vain, plain.clone(), &none, false, Reason::NoneSupported);
        }
        let deaf = StreamConfig { events_requested: None, ..stream() };
        not_sent(&deaf, plain.clone(), &none, false, Reason::NotRequested);
        let email = StreamConfig { subject_format: SubjectFormat::Email, ..stream() };
        not_sent(&email, plain, &none, false, Reason::Format);
    }

    #[test]
    fn a_set_is_still_requested_if_its_stream_has_its_type() {
        let claims = |uri: &str| json!({"iss": "i", "events": {uri: {"n": 1}}}).to_string();
        let deaf = StreamConfig { events_requested: None, ..stream() };
        assert!(still_requested(&stream(), &claims(REVOKED)));
        assert!(!still_requested(&stream(), &claims("urn:x:other")));
        assert!(!still_requested(&deaf, &claims(REVOKED)));
        for unreadable in ["", "{}", r#"{"events":{}}"#] {
            assert!(still_requested(&deaf, unreadable));
        }
    }

    /// SUBJ-05 (SSF §8.1.3, §8.1.4.1)
    #[test]
    fn a_subject_is_on_a_stream_by_its_default_its_list_or_because_it_is_the_stream() {
        let chooses = StreamConfig { default_subjects: DefaultSubjects::None, ..stream() };
        let on_list = || [stream().id].into();
        let added = Listed { added: on_list(), ..Listed::default() };
        let removed = Listed { removed: on_list(), ..Listed::default() };
        let own = json!({"sub_id": {"format": "opaque", "id": "st_1"}});
        let missing = Judged::NotSent(Reason::Subject);
        check(&chooses, json!({}), &Listed::default(), false, missing.clone());
        check(&chooses, json!({}), &added, false, Judged::Sent(()));
        check(&stream(), json!({}), &removed, false, missing);
        for stream in [chooses, stream()] {
            check(&stream, own.clone(), &removed, false, Judged::Sent(()));
        }
    }
}
