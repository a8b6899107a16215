//! Events as publishers send them.

use serde_json::Value;

use super::{
    event_type::EventType,
    id::StreamId,
    json::{self, Document, JsonError},
    lint::{Finding, list},
    payload::Payload,
    provider::Provider,
    subject::{FURTHER_MAX, InvalidSubject, Subject, SubjectId},
    token_revoked::as_session_revoked,
};

/// The longest `id` and the longest `txn` that a publisher may give an event, in bytes.
pub const PUBLISHER_ID_LENGTH_MAX: usize = 256;
/// The most streams that one event may name in `stream_ids`.
pub const STREAM_IDS_MAX: usize = 1024;

/// One event about one subject, not yet addressed to any stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The publisher's idempotency key.
    pub id: Option<String>,
    pub event_type: EventType,
    pub subject: Subject,
    /// Members that we do not know stay in it.
    pub payload: Payload,
    /// The cause, shared by all events that it led to (SSF §4.1.9).
    pub txn: Option<String>,
    /// The only streams that may get the event, if the publisher names any.
    pub stream_ids: Option<Vec<StreamId>>,
}

/// The reason why an event was rejected. The text names the field and the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    #[error("the entry has no field `event`")]
    Absent,
    #[error("the entry has the field `event` more than once")]
    Repeated,
    #[error("the name of a field of the entry is not UTF-8")]
    FieldName,
    #[error("the event is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the event {0}")]
    Json(#[from] JsonError),
    #[error("`{field}` {rule}")]
    Field { field: &'static str, rule: String },
    #[error("`type` `{0}` is not an event type of CAEP or RISC, and this provider takes no others")]
    UnknownType(EventType),
    #[error("`type` `{0}` is issued by the Transmitter alone (SSF §8.1.4, §8.1.5)")]
    ControlType(EventType),
    #[error("`sub_id`: {0}")]
    Subject(#[from] InvalidSubject),
    #[error("`subject_identifiers`: {0}")]
    Identifiers(#[source] InvalidSubject),
    /// The event breaks the definition of its type, and its provider does not allow that.
    #[error("{}", list(.0))]
    Schema(Vec<Finding>),
}

impl InvalidEvent {
    /// Returns a label with few values, for metrics and for the list of rejected events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Absent | Self::Repeated | Self::FieldName | Self::Json(_) => "malformed",
            Self::TooLarge { .. } => "too_large",
            Self::Field { .. } => "invalid_field",
            Self::UnknownType(_) => "unknown_type",
            Self::ControlType(_) => "control_type",
            Self::Subject(_) | Self::Identifiers(_) => "invalid_subject",
            Self::Schema(_) => "schema",
        }
    }
}

fn invalid<T>(field: &'static str, rule: impl Into<String>) -> Result<T, InvalidEvent> {
    Err(InvalidEvent::Field { field, rule: rule.into() })
}

impl Event {
    /// Parses the published form of one event by the rules of the provider that it is for. Its
    /// numbers go into the SETs with all their digits.
    pub fn parse(json: &[u8], provider: &Provider) -> Result<Self, InvalidEvent> {
        let Document { value, exact } = json::read(json)?;
        let mut event = Self::from_json(value, provider)?;
        if !exact {
            event.payload.keep_digits(json);
        }
        Ok(event)
    }

    /// Reads one event, like [`Event::parse`], from JSON that is already parsed.
    pub fn from_json(value: Value, provider: &Provider) -> Result<Self, InvalidEvent> {
        let Value::Object(mut members) = value else {
            return invalid("event", "must be a JSON object");
        };
        // A member that is null is absent.
        let mut take = |name| members.remove(name).filter(|value| !value.is_null());
        let event_type = read_type(take("type"), provider)?;
        let subject = match take("sub_id") {
            Some(subject) => SubjectId::try_from(subject)?,
            None => return invalid("sub_id", "is required: the subject of the event"),
        };
        let further = take("subject_identifiers");
        let payload = match take("event") {
            None => Payload::default(),
            Some(Value::Object(payload)) => Payload::published(&event_type, payload),
            Some(_) => return invalid("event", "must be a JSON object (RFC 8417 §2)"),
        };
        let (event_type, subject, payload) = if provider.tells_by_session(&event_type) {
            if further.is_some() {
                // A Receiver that knows one of them would get a subject that names no session.
                return invalid(
                    "subject_identifiers",
                    "must be left out, because the provider makes a session-revoked of the event",
                );
            }
            as_session_revoked(&subject, payload)?
        } else {
            (event_type, subject, payload)
        };
        let subject = read_further(provider.admit_subject(subject)?, further, provider)?;
        let id = read_text("id", take("id"))?;
        let txn = read_text("txn", take("txn"))?;
        let stream_ids = read_stream_ids(take("stream_ids"))?;
        Ok(Self { id, event_type, subject, payload, txn, stream_ids })
    }
}

fn read_type(value: Option<Value>, provider: &Provider) -> Result<EventType, InvalidEvent> {
    let raw = match value {
        Some(Value::String(raw)) => raw,
        Some(_) => return invalid("type", "must be a string"),
        None => return invalid("type", "is required: the event type's URI or short name"),
    };
    let event_type = match EventType::try_from(raw) {
        Ok(event_type) => event_type,
        Err(error) => return invalid("type", error.to_string()),
    };
    if event_type.is_control() {
        Err(InvalidEvent::ControlType(event_type))
    } else if event_type.is_profiled()
        || provider.takes(&event_type)
        || provider.tells_by_session(&event_type)
    {
        Ok(event_type)
    } else {
        Err(InvalidEvent::UnknownType(event_type))
    }
}

/// Reads the further identifiers of the subject.
fn read_further(
    id: SubjectId,
    value: Option<Value>,
    provider: &Provider,
) -> Result<Subject, InvalidEvent> {
    let further = match value {
        None => return Ok(id.into()),
        Some(Value::Array(list)) if (1..=FURTHER_MAX).contains(&list.len()) => list,
        Some(_) => {
            let rule = format!("must be an array of 1 to {FURTHER_MAX} subject identifiers");
            return invalid("subject_identifiers", rule);
        }
    };
    let parse = |identifier| provider.admit_subject(SubjectId::try_from(identifier)?);
    let further = further.into_iter().map(parse).collect::<Result<_, _>>();
    further.and_then(|further| Subject::new(id, further)).map_err(InvalidEvent::Identifiers)
}

fn read_text(field: &'static str, value: Option<Value>) -> Result<Option<String>, InvalidEvent> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) if (1..=PUBLISHER_ID_LENGTH_MAX).contains(&text.len()) => {
            Ok(Some(text))
        }
        Some(_) => {
            invalid(field, format!("must be a string of 1 to {PUBLISHER_ID_LENGTH_MAX} bytes"))
        }
    }
}

fn read_stream_ids(value: Option<Value>) -> Result<Option<Vec<StreamId>>, InvalidEvent> {
    let Some(value) = value else { return Ok(None) };
    // If an id that no stream can have were ignored, the event would go to other streams than its
    // publisher meant.
    match serde_json::from_value::<Vec<StreamId>>(value) {
        Ok(ids) if ids.len() <= STREAM_IDS_MAX => Ok(Some(ids)),
        _ => {
            invalid("stream_ids", format!("must be a list of at most {STREAM_IDS_MAX} stream ids"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::schema::{FAMILIES, FamilyOrigin, Presence};

    fn subject() -> Value {
        json!({"format": "email", "email": "kim@example.com"})
    }

    #[track_caller]
    fn refuses(value: &Value, reason: &str, text: &str) {
        let json = value.to_string();
        let error = Event::parse(json.as_bytes(), &Provider::example()).expect_err(&json);
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }

    #[test]
    fn an_event_keeps_what_the_publisher_said() {
        let json = json!({
            "id": "evt-8841", "type": "caep:session-revoked", "sub_id": subject(), "txn": "c-991",
            "event": {"initiating_entity": "user", "x_ours": [1, {"deep": null}]},
            "stream_ids": ["st_1"],
        });
        let event = Event::from_json(json, &Provider::example()).expect("a valid event");
        assert_eq!(event.id.as_deref(), Some("evt-8841"));
        assert_eq!(event.txn.as_deref(), Some("c-991"));
        assert_eq!(event.payload.members()["x_ours"], json!([1, {"deep": null}]));
        assert_eq!(event.stream_ids, Some(vec!["st_1".parse().expect("a stream id")]));
    }

    #[test]
    fn type_and_subject_are_all_that_is_required() {
        let json = json!({"type": "risc:account-purged", "sub_id": subject()});
        let event = Event::from_json(json, &Provider::example()).expect("a valid event");
        assert!(event.payload.members().is_empty());
        assert_eq!((event.id, event.txn, event.stream_ids), (None, None, None));
    }

    #[test]
    fn a_broken_event_names_the_field_and_the_rule() {
        refuses(&json!([]), "invalid_field", "must be a JSON object");
        refuses(&json!({"sub_id": subject()}), "invalid_field", "`type` is required");
        refuses(&json!({"type": 1, "sub_id": subject()}), "invalid_field", "`type` must be");
        refuses(&json!({"type": "caep:nope", "sub_id": subject()}), "invalid_field", "caep:nope");
        refuses(&json!({"type": "urn:x:y", "sub_id": subject()}), "unknown_type", "urn:x:y");
        refuses(
            &json!({"type": "ssf:verification", "sub_id": subject()}),
            "control_type",
            "SSF §8.1.4",
        );
        refuses(&json!({"type": "caep:session-revoked"}), "invalid_field", "`sub_id` is required");
        let typed = |more: &Value| {
            let mut event = json!({"type": "caep:session-revoked", "sub_id": subject()});
            let more = more.as_object().expect("more members").clone();
            event.as_object_mut().expect("an object").extend(more);
            event
        };
        refuses(&typed(&json!({"sub_id": [subject()]})), "invalid_subject", "must be an object");
        let also = |identifiers: Value| typed(&json!({"subject_identifiers": identifiers}));
        refuses(
            &also(subject()),
            "invalid_field",
            "`subject_identifiers` must be an array of 1 to",
        );
        refuses(&also(json!([])), "invalid_field", "1 to 16");
        refuses(&also(json!(vec![subject(); FURTHER_MAX + 1])), "invalid_field", "1 to 16");
        refuses(
            &also(json!([subject(), {"format": "email"}])),
            "invalid_subject",
            "`subject_identifiers`: `email` is required",
        );
        refuses(
            &also(json!([{"format": "aliases", "identifiers": [subject()]}])),
            "invalid_subject",
            "`subject_identifiers`: `format` must not be `aliases`",
        );
        refuses(&typed(&json!({"event": "x"})), "invalid_field", "`event` must be");
        refuses(&typed(&json!({"id": ""})), "invalid_field", "`id` must be");
        refuses(&typed(&json!({"txn": 7})), "invalid_field", "`txn` must be");
        refuses(&typed(&json!({"stream_ids": ["a b"]})), "invalid_field", "`stream_ids` must be");
        let error = Event::parse(b"{", &Provider::example()).expect_err("cut-off JSON");
        assert_eq!(error.reason(), "malformed");
    }

    #[test]
    fn a_member_of_the_envelope_that_is_null_is_absent() {
        let required = || json!({"type": "caep:session-revoked", "sub_id": subject()});
        let plain = Event::from_json(required(), &Provider::example()).expect("a valid event");
        for optional in ["txn", "id", "event", "stream_ids", "subject_identifiers", "x_ours"] {
            let mut event = required();
            event[optional] = Value::Null;
            assert_eq!(Event::from_json(event, &Provider::example()), Ok(plain.clone()));
        }
        for name in ["type", "sub_id"] {
            let mut event = required();
            event[name] = Value::Null;
            refuses(&event, "invalid_field", &format!("`{name}` is required"));
        }
    }

    /// All members of all types of CAEP and RISC.
    #[test]
    fn an_optional_member_of_a_type_that_is_null_is_left_out() {
        let anything = Provider { custom_event_types: true, ..Provider::example() };
        let families = FAMILIES.iter().filter(|family| family.origin != FamilyOrigin::Control);
        for (family, schema) in
            families.flat_map(|family| family.types.iter().map(move |schema| (family, schema)))
        {
            for member in family.common.iter().chain(schema.members) {
                let json = json!({
                    "type": format!("{}{}", family.base, schema.name), "sub_id": subject(),
                    "event": {member.name: null, "x_ours": null},
                });
                let event = Event::from_json(json, &anything).expect("a valid envelope");
                let kept = event.payload.members().contains_key(member.name);
                assert_eq!(kept, member.presence == Presence::Required, "{}", member.name);
                assert!(event.payload.members().contains_key("x_ours"));
            }
        }
    }

    #[test]
    fn a_member_that_occurs_twice_is_named() {
        let kim = r#"{"format":"email","email":"kim@example.com"}"#;
        for (json, name) in [
            (
                format!(r#"{{"type":"caep:session-revoked","sub_id":{kim},"txn":"a","txn":"b"}}"#),
                "txn",
            ),
            (
                format!(
                    r#"{{"type":"caep:session-revoked","sub_id":{kim},"event":{{"a":1,"a":1}}}}"#
                ),
                "a",
            ),
            (r#"{"sub_id":{"format":"opaque","id":"a","id":"b"}}"#.to_owned(), "id"),
        ] {
            let error = Event::parse(json.as_bytes(), &Provider::example()).expect_err(&json);
            assert_eq!(error.reason(), "malformed");
            let expected = format!("the event must not have the member `{name}` twice");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn an_event_may_name_its_subject_in_several_ways() {
        let more = json!([{"format": "opaque", "id": "u-17"}, subject()]);
        let json = json!({"type": "caep:session-revoked", "sub_id": subject(),
            "subject_identifiers": more});
        let event = Event::from_json(json, &Provider::example()).expect("a valid event");
        assert_eq!(json!(event.subject.id()), subject());
        // An identifier that is given twice counts once.
        assert_eq!(json!(event.subject), json!([subject(), {"format": "opaque", "id": "u-17"}]));
    }

    #[test]
    fn a_custom_type_is_carried_where_the_provider_allows_it() {
        let json = json!({"type": "urn:example:badge-lost", "sub_id": subject()});
        let provider = Provider { custom_event_types: true, ..Provider::example() };
        assert!(Event::from_json(json, &provider).is_ok());
    }

    /// OET-01.
    #[test]
    fn types_of_oauth_and_scim_are_taken_where_the_provider_lists_them() {
        for name in ["oauth:token-issued", "scim:prov:delete"] {
            let json = json!({"type": name, "sub_id": subject()});
            refuses(&json, "unknown_type", "this provider takes no others");
            let listed = vec![name.parse().expect("it is known")];
            let provider = Provider { events_supported: listed, ..Provider::example() };
            assert!(Event::from_json(json, &provider).is_ok(), "{name}");
        }
    }

    /// OET-01, SSF §3.4: a subject format that is not registered is for parties that agreed on it.
    #[test]
    fn formats_of_oauth_are_taken_where_the_provider_lists_a_type_of_it() {
        let client = json!({"format": "oauth_client", "client_id": "c-1"});
        let listed = vec!["oauth:client-disabled".parse().expect("it is known")];
        let provider = Provider { events_supported: listed, ..Provider::example() };
        let json = json!({"type": "oauth:client-disabled", "sub_id": client});
        assert!(Event::from_json(json, &provider).is_ok());

        let mut json = json!({"type": "caep:session-revoked", "sub_id": client});
        refuses(&json, "invalid_subject", "`oauth_client` is for events of `oauth:`");
        (json["sub_id"], json["subject_identifiers"]) = (subject(), json!([client]));
        refuses(&json, "invalid_subject", "`subject_identifiers`: `format`");
    }
}
