//! The revocation of an OAuth token, which an authorization server publishes as `oauth:token-revoked`
//! (OET §3.2).
//!
//! Hardly any Receiver knows that type, so a provider makes a CAEP `session-revoked` of it unless its
//! Receivers ask for the type. The event is converted when it is read, before it meets any stream, so that
//! no stream gets both.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{event::InvalidEvent, event_type::EventType, payload::Payload, subject::SubjectId};

/// The event that tells Receivers of a revoked token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenRevoked {
    /// CAEP §3.1, about the session that the token stands for.
    SessionRevoked,
    /// OET §3.2, as it was published.
    OauthEventType,
}

/// The members of which a complex subject must have one, because it means all sessions of a user otherwise.
const NARROWING: [&str; 2] = ["session", "application"];

/// The reasons of OET §3.2, each with the party that it names in CAEP §2.
const REASONS: [(&str, Option<&str>); 5] = [
    ("inactive", Some("policy")),
    ("too_many", Some("policy")),
    ("api", None),
    ("user", Some("user")),
    ("issuer", Some("system")),
];

/// Makes the type, the subject and the members of the `session-revoked` that tells of a revoked token. The
/// subject is complex: its `user` is the event's `token_subject`, and its `session` is what identifies the
/// token.
pub(super) fn as_session_revoked(
    subject: &SubjectId,
    payload: Payload,
) -> Result<(EventType, SubjectId, Payload), InvalidEvent> {
    let id = json!(subject);
    let mut members = payload.into_members();
    let user = members.remove("token_subject").filter(|user| !user.is_null());
    let token = id["token_type"].as_str().unwrap_or("token").replace('_', " ");
    let mut told = format!("OAuth {token} revoked");
    let reason = members.get("reason").and_then(Value::as_str);
    if let Some((reason, party)) = REASONS.iter().find(|(known, _)| Some(*known) == reason) {
        told = format!("{told}: {reason}");
        members.remove("reason");
        if let Some(party) = *party {
            members.entry("initiating_entity").or_insert_with(|| party.into());
        }
    }
    members.entry("reason_admin").or_insert_with(|| json!({"en": told}));
    let subject = complex(subject.format(), id, user)?;
    Ok((EventType::session_revoked(), subject, members.into()))
}

fn invalid<T>(field: &'static str, rule: impl Into<String>) -> Result<T, InvalidEvent> {
    Err(InvalidEvent::Field { field, rule: rule.into() })
}

/// Makes the complex subject of an identifier of this format.
fn complex(format: &str, id: Value, user: Option<Value>) -> Result<SubjectId, InvalidEvent> {
    let mut parts = match (format, id) {
        ("oauth_token" | "jwt_id" | "saml_assertion_id", token) => {
            Map::from_iter([("session".to_owned(), token)])
        }
        ("complex", Value::Object(parts)) => parts,
        _ => Map::new(),
    };
    parts.remove("format");
    for part in parts.values_mut() {
        *part = registered(part.take())?;
    }
    if !NARROWING.iter().any(|name| parts.contains_key(*name)) {
        return invalid(
            "sub_id",
            "must identify the token, or be complex with a `session` or an `application`, because the \
             provider makes a session-revoked of it, and one about a user alone ends all sessions; publish \
             `caep:session-revoked` if that is meant",
        );
    }
    if let Some(user) = user {
        parts.entry("user").or_insert(user);
    }
    parts.insert("format".to_owned(), "complex".into());
    // The other parts were valid before.
    SubjectId::try_from(Value::Object(parts)).or_else(|error| {
        invalid("token_subject", format!("must be a simple subject identifier: {error}"))
    })
}

/// Writes an identifier of the OAuth formats (OET §2) as an `opaque` one, which Receivers can read. Other
/// identifiers stay as they are.
fn registered(id: Value) -> Result<Value, InvalidEvent> {
    match id["format"].as_str() {
        Some("oauth_client") => Ok(json!({"format": "opaque", "id": id["client_id"]})),
        Some("oauth_token") => {
            let hashed =
                id["token_identifier_alg"].as_str().unwrap_or_default().starts_with("hash_");
            if !hashed {
                return invalid(
                    "token_identifier_alg",
                    "must be `hash_` and a name, because the provider makes a session-revoked of the \
                     event, whose Receivers must not read the token",
                );
            }
            if id["token_type"] == "authorization_code" {
                return invalid(
                    "token_type",
                    "must be `access_token` or `refresh_token`, because a code is no session, and the \
                     provider makes a session-revoked of the event",
                );
            }
            Ok(json!({"format": "opaque", "id": id["token"]}))
        }
        _ => Ok(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{event::Event, provider::Provider};

    fn kim() -> Value {
        json!({"format": "email", "email": "kim@example.com"})
    }

    fn token(algorithm: &str) -> Value {
        json!({"format": "oauth_token", "token_type": "refresh_token",
            "token_identifier_alg": algorithm, "token": "9f86d0"})
    }

    fn published(sub_id: &Value, event: &Value) -> Value {
        json!({"type": "oauth:token-revoked", "sub_id": sub_id, "event": event, "id": "e-1"})
    }

    fn read(provider: &Provider, sub_id: &Value, event: &Value) -> Result<Event, InvalidEvent> {
        Event::parse(published(sub_id, event).to_string().as_bytes(), provider)
    }

    #[track_caller]
    fn becomes(sub_id: &Value, event: &Value, subject: &Value, members: &Value) {
        let read = read(&Provider::example(), sub_id, event).expect("a valid event");
        assert_eq!(read.event_type, EventType::session_revoked());
        assert_eq!(json!(read.subject.id()), *subject);
        assert_eq!(json!(read.payload), *members);
        assert_eq!(read.id.as_deref(), Some("e-1"));
    }

    #[track_caller]
    fn refuses(sub_id: &Value, event: &Value, rule: &str) {
        let error = read(&Provider::example(), sub_id, event).expect_err("refused").to_string();
        assert!(error.contains(rule), "no `{rule}` in {error}");
    }

    #[test]
    fn a_token_becomes_the_session_of_a_complex_subject() {
        let session = json!({"format": "opaque", "id": "9f86d0"});
        let told = |text: &str| json!({"reason_admin": {"en": text}});
        becomes(
            &token("hash_base64_sha512_sha512"),
            &json!({"token_subject": kim()}),
            &json!({"format": "complex", "user": kim(), "session": session}),
            &told("OAuth refresh token revoked"),
        );
        // Without its subject, the token alone.
        becomes(
            &token("hash_x"),
            &json!({"token_subject": null}),
            &json!({"format": "complex", "session": session}),
            &told("OAuth refresh token revoked"),
        );
        let jwt = json!({"format": "jwt_id", "iss": "https://as.example", "jti": "j-1"});
        becomes(
            &jwt,
            &json!({"token_subject": kim()}),
            &json!({"format": "complex", "user": kim(), "session": jwt}),
            &told("OAuth token revoked"),
        );
        let client = json!({"format": "oauth_client", "client_id": "c-1"});
        becomes(
            &json!({"format": "complex", "user": kim(), "session": jwt, "application": client}),
            &json!({"token_subject": {"format": "opaque", "id": "another"}}),
            &json!({"format": "complex", "user": kim(), "session": jwt,
                "application": {"format": "opaque", "id": "c-1"}}),
            &told("OAuth token revoked"),
        );
    }

    #[test]
    fn a_reason_becomes_the_party_and_a_text() {
        let jwt = json!({"format": "jwt_id", "iss": "https://as.example", "jti": "j-1"});
        let subject = json!({"format": "complex", "session": jwt});
        for (reason, party) in REASONS {
            let text = format!("OAuth token revoked: {reason}");
            let mut members = json!({"reason_admin": {"en": text}});
            if let Some(party) = party {
                members["initiating_entity"] = party.into();
            }
            becomes(&jwt, &json!({"reason": reason}), &subject, &members);
        }
        // The publisher's own words stay, and a reason that nobody defined survives.
        let own =
            json!({"reason": "user", "initiating_entity": "admin", "reason_admin": {"en": "x"}});
        let kept = json!({"initiating_entity": "admin", "reason_admin": {"en": "x"}});
        becomes(&jwt, &own, &subject, &kept);
        let other = json!({"reason": "audit", "reason_admin": {"en": "x"}});
        becomes(&jwt, &other, &subject, &other);
    }

    #[test]
    fn members_keep_their_digits_and_those_that_are_added_are_there() {
        let text = r#"{"type":"oauth:token-revoked",
            "sub_id":{"format":"jwt_id","iss":"https://as.example","jti":"j-1"},
            "event":{"reason":"user","x_ours":12345678901234567890.123456789}}"#;
        let event = Event::parse(text.as_bytes(), &Provider::example()).expect("a valid event");
        let payload = serde_json::to_string(&event.payload).expect("JSON");
        let expected = r#"{"initiating_entity":"user","reason_admin":{"en":"OAuth token revoked: user"},"x_ours":12345678901234567890.123456789}"#;
        assert_eq!(payload, expected);
    }

    #[test]
    fn what_would_end_too_much_or_tell_too_much_is_refused() {
        let none = json!({});
        let rule = "must identify the token, or be complex with a `session` or an `application`";
        for user in [kim(), json!({"format": "complex", "user": kim()})] {
            refuses(&user, &none, rule);
            refuses(&user, &json!({"token_subject": kim()}), rule);
        }
        for algorithm in ["plain", "prefix"] {
            refuses(&token(algorithm), &none, "`token_identifier_alg` must be `hash_` and a name");
            let within = json!({"format": "complex", "user": kim(), "session": token(algorithm)});
            refuses(&within, &none, "must not read the token");
        }
        let mut code = token("hash_x");
        code["token_type"] = "authorization_code".into();
        refuses(&code, &none, "`token_type` must be `access_token` or `refresh_token`");
        let complex = json!({"format": "complex", "user": kim()});
        let rule = "`token_subject` must be a simple subject identifier";
        refuses(&token("hash_x"), &json!({"token_subject": complex}), rule);
        refuses(&token("hash_x"), &json!({"token_subject": "kim"}), rule);
        let client = json!({"format": "oauth_client", "client_id": "c-1"});
        refuses(&token("hash_x"), &json!({"token_subject": client}), "is for events of `oauth:`");
        let mut event = published(&token("hash_x"), &none);
        event["subject_identifiers"] = json!([kim()]);
        let error = Event::from_json(event, &Provider::example()).expect_err("refused").to_string();
        assert!(error.contains("`subject_identifiers` must be left out"), "{error}");
    }

    /// OET-01.
    #[test]
    fn a_provider_that_takes_the_type_or_says_so_leaves_the_event_as_it_is() {
        let listed = vec!["oauth:token-revoked".parse().expect("it is known")];
        let example = Provider::example;
        let providers = [
            Provider { events_supported: listed.clone(), ..example() },
            Provider { custom_event_types: true, ..example() },
            Provider {
                events_supported: listed,
                token_revoked: Some(TokenRevoked::OauthEventType),
                ..example()
            },
        ];
        for provider in providers {
            for sub_id in [token("plain"), kim()] {
                let event = json!({"token_subject": kim(), "reason": "api"});
                let read = read(&provider, &sub_id, &event).expect("a valid event");
                assert_eq!(read.event_type.short_name(), "oauth:token-revoked");
                assert_eq!((json!(read.subject.id()), json!(read.payload)), (sub_id, event));
            }
        }
        let custom = Provider {
            custom_event_types: true,
            token_revoked: Some(TokenRevoked::SessionRevoked),
            ..example()
        };
        let read = read(&custom, &token("hash_x"), &json!({})).expect("a valid event");
        assert_eq!(read.event_type, EventType::session_revoked());
    }
}
