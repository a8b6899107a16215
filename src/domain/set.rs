//! SETs before they are signed: their claims, and the identifiers derived from the event's origin.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use uuid::Uuid;

use super::{
    audience::Audience,
    event_type::EventType,
    id::{Jti, ProviderName, StreamId},
    issuer::Issuer,
    payload::Payload,
    subject::SubjectId,
    time::Timestamp,
};

/// The claims of one SET (RFC 8417 §2.2). It has no field for `sub` or `exp` (SSF §4.1) and none
/// for a second event (SSF §4.2.1).
#[derive(Debug, Serialize)]
pub struct SetClaims<'a> {
    pub iss: &'a Issuer,
    /// The time of issue, in whole seconds and never in the future.
    #[serde(serialize_with = "whole_seconds")]
    pub iat: Timestamp,
    pub jti: &'a Jti,
    pub aud: &'a Audience,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<&'a str>,
    pub sub_id: &'a SubjectId,
    pub events: EventsClaim<'a>,
}

/// The `events` claim: the URI of one type and its payload.
#[derive(Debug)]
pub struct EventsClaim<'a> {
    pub event_type: &'a EventType,
    pub payload: &'a Payload,
}

impl SetClaims<'_> {
    /// Writes the JSON text that is stored, signed and sent. It is the same in every transmission.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("claims are strings, numbers and JSON values")
    }
}

impl Serialize for Issuer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn whole_seconds<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(at.as_secs())
}

impl Serialize for EventsClaim<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut events = serializer.serialize_map(Some(1))?;
        events.serialize_entry(self.event_type, self.payload)?;
        events.end()
    }
}

/// The event type and the subject of a SET, read from its claims.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimsHead {
    pub event_type: Option<EventType>,
    pub subject: Option<SubjectId>,
}

impl ClaimsHead {
    /// Reads the claims of one of our SETs. Returns `None` for any other text.
    pub fn of(claims: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(default)]
            sub_id: Value,
            #[serde(borrow)]
            events: BTreeMap<EventType, &'a RawValue>,
        }
        let head: Head<'_> = serde_json::from_str(claims).ok()?;
        Some(Self {
            event_type: head.events.into_keys().next(),
            subject: SubjectId::try_from(head.sub_id).ok(),
        })
    }
}

/// Returns the URI of the event type in the claims of one of our SETs.
pub fn event_type_of(claims: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow)]
        events: BTreeMap<String, &'a RawValue>,
    }
    let claims: Typed<'_> = serde_json::from_str(claims).ok()?;
    claims.events.into_keys().next()
}

/// Copies the claims of a SET for another SET about the same event. The copy has a new `jti`, and
/// an `iat` with its own time of issue (RFC 8417 §2.2). All other claims stay, `txn` among them, by
/// which a Receiver finds events with the same cause. Returns `None` if the text is not the claims
/// of one of our SETs.
pub fn reissued(claims: &str, jti: &Jti, iat: Timestamp) -> Option<String> {
    let mut claims: BTreeMap<&str, &RawValue> = serde_json::from_str(claims).ok()?;
    let (jti, iat) = (to_raw_value(jti).ok()?, to_raw_value(&iat.as_secs()).ok()?);
    claims.insert("jti", &jti);
    claims.insert("iat", &iat);
    serde_json::to_string(&claims).ok()
}

/// Identifies one event however often it is read. It comes from the place where the event was read,
/// or from a random number. All identifiers of the event derive from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    id: Uuid,
    place: Option<String>,
}

/// This value must never change, because the `jti` of an event that is read again would change with
/// it.
const NAMESPACE: Uuid = Uuid::from_u128(0x8f2b_61f4_7c0d_4d53_9f0e_5a1c_3e77_b1d6);

impl Origin {
    /// Makes the origin of an event that can be read again. `place` is unique within the provider,
    /// for example the partition and the entry id of a Redis stream. `at` is the time of the event
    /// and must be the same at each reading.
    pub fn of_place(provider: &ProviderName, place: &str, at: Timestamp) -> Self {
        // The name of a provider has no slash, so two different pairs never give the same text.
        let id = Uuid::new_v5(&NAMESPACE, format!("{provider}/{place}").as_bytes());
        Self { id: with_time_prefix(time(at), id), place: Some(place.to_owned()) }
    }

    /// Makes the origin of an event that has no place to be read from again. `drawn` is random.
    pub fn drawn(drawn: Uuid, at: Timestamp) -> Self {
        Self { id: with_time_prefix(time(at), drawn), place: None }
    }

    /// Restores an origin that was recorded.
    pub fn recorded(id: Uuid, place: Option<String>) -> Self {
        Self { id, place }
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Returns the place where the event was read, or `None` if a publisher sent it over HTTP.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// Derives the `jti` of this event's SET for one stream. Each event has exactly one SET for
    /// each stream, because every reader derives the same `jti`.
    pub fn jti(&self, stream: &StreamId) -> Jti {
        derived(&self.id, stream.as_str())
    }

    /// Returns the `txn` of an event whose publisher gave none (SSF §4.1.9).
    pub fn txn(&self) -> String {
        self.id.simple().to_string()
    }
}

/// Derives the `jti` of the SET that repeats another one in a replay. Running the same replay again
/// gives the same `jti`.
pub fn repeated_jti(replay: &Uuid, stream: &StreamId, jti: &Jti) -> Jti {
    // Neither part contains a slash.
    derived(replay, &format!("{stream}/{jti}"))
}

/// Derives an id that keeps the time prefix of `from`. The `jti`s of events that arrive together
/// are therefore neighbours in an index, so new entries are written at the end of the index.
fn derived(from: &Uuid, name: &str) -> Jti {
    let id = Uuid::new_v5(from, name.as_bytes());
    let [prefix @ .., _, _, _, _, _, _, _, _, _, _] = from.into_bytes();
    let id = with_time_prefix(prefix, id);
    id.simple().to_string().parse().expect("hexadecimal digits are a valid jti")
}

/// The bytes of an id that encode its time, as in RFC 9562 §5.7. Ids sort by time because of them.
type TimePrefix = [u8; 6];

fn time(at: Timestamp) -> TimePrefix {
    let [_, _, millis @ ..] = at.as_millis().to_be_bytes();
    millis
}

/// Sets the first bytes of an id. RFC 9562 §5.8 leaves the meaning of the other bytes to us.
fn with_time_prefix(prefix: TimePrefix, id: Uuid) -> Uuid {
    let mut bytes = id.into_bytes();
    bytes[..prefix.len()].copy_from_slice(&prefix);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::{Map, json};

    use super::*;
    use crate::domain::{event::Event, provider::Provider, subject::any_subject};

    #[test]
    fn the_same_place_and_stream_give_the_same_jti() {
        let provider = Provider::example().name;
        let (one, two): (StreamId, StreamId) =
            ("st_1".parse().expect("valid"), "st_2".parse().expect("valid"));
        let of = |place| Origin::of_place(&provider, place, Timestamp::EPOCH);
        let origin = of("0/1-0");
        assert_eq!(origin.jti(&one), of("0/1-0").jti(&one));
        assert_ne!(origin.jti(&one), origin.jti(&two));
        assert_ne!(origin.jti(&one), of("0/2-0").jti(&one));
    }

    #[test]
    fn jtis_sort_by_the_time_of_their_events() {
        let (provider, stream) = (Provider::example().name, "st_1".parse().expect("valid"));
        let millis = [0, 1, 255, 256, 1_775_000_099_000, 1_775_000_099_001];
        let times = millis.map(Timestamp::from_millis);
        let placed = times.map(|at| Origin::of_place(&provider, "0/1-0", at).jti(&stream));
        assert!(placed.is_sorted(), "{placed:?}");
        let drawn = times.map(|at| Origin::drawn(Uuid::new_v5(&NAMESPACE, b"x"), at).jti(&stream));
        assert!(drawn.is_sorted(), "{drawn:?}");
    }

    #[test]
    fn claims_have_the_shape_of_rfc_8417() {
        let provider = Provider::example();
        let subject = json!({"format": "opaque", "id": "s-88"});
        let payload = json!({"initiating_entity": "user"});
        let claims = SetClaims {
            iss: &provider.issuer,
            iat: Timestamp::from_millis(1_775_000_099_999),
            jti: &"b1".parse().expect("valid"),
            aud: &Audience::one("https://rx.example").expect("valid"),
            txn: Some("c-991"),
            sub_id: &SubjectId::try_from(subject.clone()).expect("valid"),
            events: EventsClaim {
                event_type: &"caep:session-revoked".parse().expect("valid"),
                payload: &payload.as_object().expect("an object").clone().into(),
            },
        };
        let json: Value = serde_json::from_str(&claims.to_json()).expect("JSON");
        assert_eq!(
            json,
            json!({
                "iss": "https://tx.example/t/acme", "iat": 1_775_000_099, "jti": "b1",
                "aud": "https://rx.example", "txn": "c-991", "sub_id": subject,
                "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked":
                    {"initiating_entity": "user"}},
            })
        );
    }

    #[test]
    fn claims_give_the_type_and_subject_of_their_event() {
        let claims = r#"{"events":{"urn:x:y":{"sub_id":1}},"sub_id":{"format":"opaque","id":"a"}}"#;
        let head = ClaimsHead::of(claims).expect("claims");
        assert_eq!(head.event_type.expect("a type").as_str(), "urn:x:y");
        assert_eq!(head.subject.expect("a subject").format(), "opaque");
        assert_eq!(ClaimsHead::of("{}"), None);
    }

    #[test]
    fn claims_that_are_issued_anew_differ_in_jti_and_iat_alone() {
        let claims =
            r#"{"iss":"i","iat":1,"jti":"a","txn":"t","events":{"u:v":{"n":1.50,"jti":"a"}}}"#;
        let iat = Timestamp::from_millis(7_999);
        let again = reissued(claims, &"b".parse().expect("valid"), iat).expect("claims");
        assert_eq!(
            again,
            r#"{"events":{"u:v":{"n":1.50,"jti":"a"}},"iat":7,"iss":"i","jti":"b","txn":"t"}"#
        );
        assert_eq!(reissued("[]", &"b".parse().expect("valid"), iat), None);
    }

    #[test]
    fn a_repeated_set_has_one_jti_for_each_replay() {
        let (stream, jti) = ("st_1".parse().expect("valid"), "a".parse().expect("valid"));
        let of = |replay| repeated_jti(&Uuid::from_u128(replay), &stream, &jti);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    /// Members with any JSON value, and with numbers of up to 64 bits.
    fn any_payload() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                vec((any::<String>(), inner), 0..4).prop_map(Value::from_iter),
            ]
        });
        vec((any::<String>(), value), 0..5).prop_map(Map::from_iter)
    }

    /// Returns the claims of the SET of an event that has this number in two places.
    fn claims_with(number: &str) -> String {
        let provider = Provider::example();
        let payload =
            format!(r#"{{"n":{number},"event_timestamp":null,"deep":[{{"n":{number}}}]}}"#);
        let published = format!(
            r#"{{"type": "caep:session-revoked", "sub_id": {{"format": "opaque", "id": "u-1"}},
                "event": {payload}}}"#
        );
        let event = Event::parse(published.as_bytes(), &provider).expect("valid");
        let claims = SetClaims {
            iss: &provider.issuer,
            iat: Timestamp::EPOCH,
            jti: &"b1".parse().expect("valid"),
            aud: &Audience::one("https://rx.example").expect("valid"),
            txn: None,
            sub_id: event.subject.id(),
            events: EventsClaim { event_type: &event.event_type, payload: &event.payload },
        };
        claims.to_json()
    }

    #[track_caller]
    fn keeps_digits(number: &str) {
        let claims = claims_with(number);
        let expected = format!(r#"{{"deep":[{{"n":{number}}}],"n":{number}}}"#);
        assert!(claims.contains(&expected), "{claims}");
        assert!(ClaimsHead::of(&claims).is_some());
        let again = reissued(&claims, &"b".parse().expect("valid"), Timestamp::EPOCH);
        assert!(again.is_some_and(|again| again.contains(&expected)));
    }

    #[test]
    fn a_number_keeps_its_digits() {
        for number in [
            "12345678901234567890123",
            "0.1234567890123456789",
            "-9223372036854775809",
            "18446744073709551615",
            "1e-400",
            "1E+400",
            "-0",
            "-0.0",
            "1.50",
            "100",
        ] {
            keeps_digits(number);
        }
    }

    proptest! {
        #[test]
        fn any_number_keeps_its_digits(
            number in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?",
        ) {
            keeps_digits(&number);
        }

        /// From the published text to the text that is signed.
        #[test]
        fn a_set_carries_what_was_published(
            payload in any_payload(),
            subject in any_subject(),
            txn in ".{1,60}",
            millis in 0..=i64::from(u32::MAX) * 1000,
        ) {
            let provider = Provider { custom_event_types: true, ..Provider::example() };
            let subject = json!(subject);
            let published = json!({
                "type": "urn:example:badge-lost", "sub_id": subject, "txn": txn, "event": payload,
            });
            let event = Event::parse(published.to_string().as_bytes(), &provider).expect("valid");
            let claims = SetClaims {
                iss: &provider.issuer,
                iat: Timestamp::from_millis(millis),
                jti: &"b1".parse().expect("valid"),
                aud: &Audience::one("https://rx.example").expect("valid"),
                txn: event.txn.as_deref(),
                sub_id: event.subject.id(),
                events: EventsClaim { event_type: &event.event_type, payload: &event.payload },
            };
            let said: Value = serde_json::from_str(&claims.to_json()).expect("JSON");
            prop_assert_eq!(said, json!({
                "iss": provider.issuer.as_str(), "iat": millis / 1000, "jti": "b1",
                "aud": "https://rx.example", "txn": txn, "sub_id": subject,
                "events": {"urn:example:badge-lost": payload},
            }));
        }
    }
}
