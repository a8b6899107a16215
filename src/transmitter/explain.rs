//! Tells what would become of an event: to which streams it would go, and why not to the others.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::{Transmitter, intake::addressing::SetMaker};
use crate::{
    domain::{
        event::Event,
        judgement::{Judged, Judgement},
        opt_out::OptOut,
        provider::Provider,
        set::Origin,
        stream::StreamConfig,
        subject::{keys::SubjectKeys, list::Listed},
        time::Timestamp,
    },
    store::{Intake, StoreError, SubjectLists},
};

/// The judgement of an event for one stream.
#[derive(Debug)]
pub struct Explained {
    pub stream: StreamConfig,
    /// With the claims of the SET, as JSON.
    pub judged: Judged<String>,
}

/// Stands in the claims for what is made when the event is published.
const LATER: &str = "(made when it is published)";

/// The facts of the store about an event's subject.
#[derive(Debug, Default)]
pub struct KnownSubject {
    /// The streams that list it.
    pub listed: Listed,
    /// Whether it is kept from all streams because its account opted out.
    pub opted_out: bool,
}

impl KnownSubject {
    /// Reads the facts about the subject of an event.
    pub async fn read(
        store: &(impl SubjectLists + Intake + ?Sized),
        provider: &Provider,
        event: &Event,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let subject = SubjectKeys::of_event(&provider.name, &event.subject);
        let listed = store.listed(&provider.name, vec![subject], now).await?.pop();
        let opted_out = match OptOut::of(&event.event_type, &provider.name, &event.subject) {
            Some(OptOut::Respected(accounts)) => store.opted_out(accounts).await?,
            _ => false,
        };
        Ok(Self { listed: listed.unwrap_or_default(), opted_out })
    }
}

impl Transmitter {
    /// Judges an event for every stream of its provider, and publishes nothing.
    pub async fn explain(
        &self,
        provider: &Provider,
        event: &Event,
        now: Timestamp,
    ) -> Result<Vec<Explained>, StoreError> {
        let known = KnownSubject::read(&*self.store, provider, event, now).await?;
        let streams = self.store.streams().await?;
        Ok(explain(provider, streams, event, &known, now))
    }
}

/// Judges the event as [`super::Transmitter::publish`] does, for every stream of the provider, and
/// publishes nothing.
pub fn explain(
    provider: &Provider,
    streams: Vec<StreamConfig>,
    event: &Event,
    known: &KnownSubject,
    now: Timestamp,
) -> Vec<Explained> {
    let judgement = Judgement::new(provider, event, &known.listed);
    let origin = Origin::drawn(Uuid::nil(), now);
    let maker = SetMaker::new(provider, event, &origin, now);
    let own = streams.into_iter().filter(|stream| stream.provider == provider.name);
    own.map(|stream| {
        let judged = judgement.judge(&stream, known.opted_out);
        let judged = judged.map(|identifier| shown(event, &maker.make(&stream, identifier).claims));
        Explained { stream, judged }
    })
    .collect()
}

fn shown(event: &Event, claims: &str) -> String {
    let mut claims: BTreeMap<&str, &RawValue> =
        serde_json::from_str(claims).expect("claims are JSON");
    let later = to_raw_value(LATER).expect("a text is JSON");
    claims.insert("jti", &later);
    if event.txn.is_none() {
        claims.insert("txn", &later);
    }
    serde_json::to_string(&claims).expect("claims are JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{reason::Reason, status::StreamStatus, subject::format::SubjectFormat};

    fn stream(id: &str) -> StreamConfig {
        let uri = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
        StreamConfig { events_requested: Some(vec![uri.to_owned()]), ..StreamConfig::example(id) }
    }

    /// Judges an event for the stream `st_1`.
    fn judged(stream: StreamConfig, event: Value) -> Judged<Value> {
        judged_with(stream, event, &KnownSubject::default())
    }

    fn judged_with(stream: StreamConfig, event: Value, known: &KnownSubject) -> Judged<Value> {
        let provider = Provider::example();
        let other = StreamConfig { provider: "other".parse().expect("valid"), ..self::stream("o") };
        let event = Event::from_json(event, &provider).expect("a valid event");
        let now = Timestamp::from_millis(1_775_000_099_000);
        let mut explained = explain(&provider, vec![stream, other], &event, known, now);
        assert_eq!(explained.len(), 1, "another provider's streams are not shown");
        explained.remove(0).judged.map(|claims| serde_json::from_str(&claims).expect("JSON"))
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
        let Judged::Sent(claims) = judged(stream("st_1"), revoked(json!({"txn": "c-991"}))) else {
            panic!("it is not sent");
        };
        assert_eq!(claims["jti"], LATER);
        assert_eq!((&claims["txn"], &claims["iat"]), (&json!("c-991"), &json!(1_775_000_099)));
        let named = judged(stream("st_1"), revoked(json!({"stream_ids": ["st_1", "st_2"]})));
        assert!(matches!(named, Judged::Sent(claims) if claims["txn"] == LATER));
    }

    #[test]
    fn what_is_not_sent_has_a_reason() {
        let with = |status| StreamConfig { status, ..stream("st_1") };
        assert!(matches!(judged(with(StreamStatus::Paused), revoked(json!({}))), Judged::Held(_)));
        let disabled = judged(with(StreamStatus::Disabled), revoked(json!({})));
        assert_eq!(disabled, Judged::NotSent(Reason::Disabled));
        let deaf = StreamConfig { events_requested: None, ..stream("st_1") };
        assert_eq!(judged(deaf, revoked(json!({}))), Judged::NotSent(Reason::NotRequested));
        let elsewhere = judged(stream("st_1"), revoked(json!({"stream_ids": ["st_2"]})));
        assert_eq!(elsewhere, Judged::NotSent(Reason::NotNamed));
        let unsupported = judged(stream("st_1"), revoked(json!({"type": "risc:sessions-revoked"})));
        assert_eq!(unsupported, Judged::NotSent(Reason::NotSupported));
        let removed = [stream("st_1").id].into_iter().collect();
        let listed = Listed { removed, ..Listed::default() };
        let known = KnownSubject { listed, opted_out: false };
        let removed = judged_with(stream("st_1"), revoked(json!({})), &known);
        assert_eq!(removed, Judged::NotSent(Reason::Subject));
        let known = KnownSubject { listed: Listed::default(), opted_out: true };
        let opted_out = judged_with(stream("st_1"), revoked(json!({})), &known);
        assert_eq!(opted_out, Judged::NotSent(Reason::OptedOut));
    }

    /// SEC-03 (SSF §10.1)
    #[test]
    fn a_stream_gets_the_identifier_that_it_knows_or_nothing() {
        let with = |subject_format| StreamConfig { subject_format, ..stream("st_1") };
        let email = json!({"format": "email", "email": "kim@example.com"});
        let event = revoked(json!({"subject_identifiers": [email]}));
        let carried = |format| match judged(with(format), event.clone()) {
            Judged::Sent(claims) => claims["sub_id"].clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(carried(SubjectFormat::AsPublished), event["sub_id"]);
        assert_eq!(carried(SubjectFormat::Email), email);
        let unknown = judged(with(SubjectFormat::IssSub), event.clone());
        assert_eq!(unknown, Judged::NotSent(Reason::Format));
    }
}
