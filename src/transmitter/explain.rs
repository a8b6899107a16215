//! What would become of an event: which streams it goes to, and why not to the others.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;
use uuid::Uuid;

use crate::{
    directory::Directory,
    domain::{
        event::Event, provider::Provider, reason::Reason, set::Origin, status::StreamStatus,
        stream::StreamConfig, subject::list::Listed, time::Timestamp,
    },
};

use super::publish::sets_of;

/// What one stream makes of an event.
#[derive(Debug)]
pub struct Explained {
    pub stream: StreamConfig,
    pub fate: Fate,
}

#[derive(Debug, PartialEq)]
pub enum Fate {
    /// The stream gets a SET with these claims.
    Sent(Value),
    /// The stream gets it once it is enabled again.
    Held(Value),
    NotSent(Reason),
}

/// Stands in the claims for what is made when the event is published.
const LATER: &str = "(made when it is published)";

/// What the store knows of an event's subject.
#[derive(Debug, Default)]
pub struct Known {
    /// The streams that list it.
    pub listed: Listed,
    /// Whether it is kept from all streams because its account opted out.
    pub opted_out: bool,
}

/// Addresses the event as [`super::Transmitter::publish`] does, and publishes nothing.
pub fn explain(
    provider: &Provider,
    streams: Vec<StreamConfig>,
    event: &Event,
    known: &Known,
    now: Timestamp,
) -> Vec<Explained> {
    let directory = Directory::new(vec![provider.clone()], streams.clone());
    let addressees = directory.addressees(&provider.name, event, &known.listed).streams;
    let origin = Origin::drawn(Uuid::nil(), now);
    let sets = sets_of(provider, event, &origin, &addressees, now);
    let mut claims: HashMap<_, _> =
        sets.iter().map(|set| (&set.stream, shown(event, &set.claims))).collect();
    let addressed: HashSet<_> = addressees.iter().map(|stream| &stream.id).collect();
    let own = streams.into_iter().filter(|stream| stream.provider == provider.name);
    own.map(|stream| {
        let addressed = addressed.contains(&stream.id);
        let fate = match (claims.remove(&stream.id), stream.status) {
            (None, _) if addressed => Fate::NotSent(Reason::Format),
            (Some(_), _) if known.opted_out => Fate::NotSent(Reason::OptedOut),
            (Some(claims), StreamStatus::Enabled) => Fate::Sent(claims),
            (Some(claims), StreamStatus::Paused) => Fate::Held(claims),
            (Some(_), StreamStatus::Disabled) => Fate::NotSent(Reason::Disabled),
            (None, _) => Fate::NotSent(why_not(provider, &stream, event)),
        };
        Explained { stream, fate }
    })
    .collect()
}

fn shown(event: &Event, claims: &Arc<str>) -> Value {
    let mut claims: Value = serde_json::from_str(claims).expect("claims are JSON");
    claims["jti"] = LATER.into();
    if event.txn.is_none() {
        claims["txn"] = LATER.into();
    }
    claims
}

/// Of a stream that is no addressee.
fn why_not(provider: &Provider, stream: &StreamConfig, event: &Event) -> Reason {
    if !provider.takes(&event.event_type) {
        Reason::NotSupported
    } else if !stream.events_delivered(provider).contains(&event.event_type) {
        Reason::NotRequested
    } else if event.stream_ids.as_ref().is_some_and(|named| !named.contains(&stream.id)) {
        Reason::NotNamed
    } else {
        Reason::Subject
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::subject::format::SubjectFormat;

    fn stream(id: &str) -> StreamConfig {
        let uri = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
        StreamConfig { events_requested: Some(vec![uri.to_owned()]), ..StreamConfig::example(id) }
    }

    /// What the stream `st_1` makes of it.
    fn fate(stream: StreamConfig, event: Value) -> Fate {
        fate_of_known(stream, event, &Known::default())
    }

    fn fate_of_known(stream: StreamConfig, event: Value, known: &Known) -> Fate {
        let provider = Provider::example();
        let other = StreamConfig { provider: "other".parse().expect("valid"), ..self::stream("o") };
        let event = Event::from_json(event, &provider).expect("a valid event");
        let now = Timestamp::from_millis(1_775_000_099_000);
        let mut explained = explain(&provider, vec![stream, other], &event, known, now);
        assert_eq!(explained.len(), 1, "another provider's streams are not shown");
        explained.remove(0).fate
    }

    fn revoked(more: Value) -> Value {
        let subject = json!({"format": "opaque", "id": "u-1"});
        let mut event = json!({"type": "caep:session-revoked", "sub_id": subject});
        let more = more.as_object().expect("members").clone();
        event.as_object_mut().expect("an object").extend(more);
        event
    }

    #[test]
    fn a_stream_gets_what_it_asked_for_and_may_have() {
        let Fate::Sent(claims) = fate(stream("st_1"), revoked(json!({"txn": "c-991"}))) else {
            panic!("it is not sent");
        };
        assert_eq!(claims["jti"], LATER);
        assert_eq!((&claims["txn"], &claims["iat"]), (&json!("c-991"), &json!(1_775_000_099)));
        let named = fate(stream("st_1"), revoked(json!({"stream_ids": ["st_1", "st_2"]})));
        assert!(matches!(named, Fate::Sent(claims) if claims["txn"] == LATER));
    }

    #[test]
    fn what_is_not_sent_has_a_reason() {
        let with = |status| StreamConfig { status, ..stream("st_1") };
        assert!(matches!(fate(with(StreamStatus::Paused), revoked(json!({}))), Fate::Held(_)));
        let disabled = fate(with(StreamStatus::Disabled), revoked(json!({})));
        assert_eq!(disabled, Fate::NotSent(Reason::Disabled));
        let deaf = StreamConfig { events_requested: None, ..stream("st_1") };
        assert_eq!(fate(deaf, revoked(json!({}))), Fate::NotSent(Reason::NotRequested));
        let elsewhere = fate(stream("st_1"), revoked(json!({"stream_ids": ["st_2"]})));
        assert_eq!(elsewhere, Fate::NotSent(Reason::NotNamed));
        let unsupported = fate(stream("st_1"), revoked(json!({"type": "risc:sessions-revoked"})));
        assert_eq!(unsupported, Fate::NotSent(Reason::NotSupported));
        let removed = [stream("st_1").id].into_iter().collect();
        let listed = Listed { removed, ..Listed::default() };
        let known = Known { listed, opted_out: false };
        let removed = fate_of_known(stream("st_1"), revoked(json!({})), &known);
        assert_eq!(removed, Fate::NotSent(Reason::Subject));
        let known = Known { listed: Listed::default(), opted_out: true };
        let opted_out = fate_of_known(stream("st_1"), revoked(json!({})), &known);
        assert_eq!(opted_out, Fate::NotSent(Reason::OptedOut));
    }

    /// SEC-03 (SSF §10.1)
    #[test]
    fn a_stream_gets_the_identifier_that_it_knows_or_nothing() {
        let with = |subject_format| StreamConfig { subject_format, ..stream("st_1") };
        let email = json!({"format": "email", "email": "kim@example.com"});
        let event = revoked(json!({"subject_identifiers": [email]}));
        let carried = |format| match fate(with(format), event.clone()) {
            Fate::Sent(claims) => claims["sub_id"].clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(carried(SubjectFormat::AsPublished), event["sub_id"]);
        assert_eq!(carried(SubjectFormat::Email), email);
        let unknown = fate(with(SubjectFormat::IssSub), event.clone());
        assert_eq!(unknown, Fate::NotSent(Reason::Format));
    }
}
