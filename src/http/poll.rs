//! Poll delivery (RFC 8936, SSF §6.1.2).

use std::{collections::BTreeMap, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use schemars::JsonSchema;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use crate::{
    auth::{AuthError, Principal},
    delivery::{
        outbox::PendingSet,
        parcel::{Parcel, SignedSet},
        poll::{ACKS_MAX, PollRequest},
    },
    domain::{
        grant::Scope,
        id::{Jti, StreamId},
        json,
        set_error::SetError,
        time::Timestamp,
    },
    http::{
        auth::{self, Receiver},
        body::{self, Body},
        connection::closed_by_peer,
        error::ApiError,
    },
    transmitter::{
        Transmitter,
        poll::{Patience, PollAnswer},
    },
};

/// The answer to a poll (RFC 8936 §2.3).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PolledSets")]
pub(super) struct PolledView {
    /// The compact SETs by `jti`; `{}` if there is none.
    #[schemars(with = "BTreeMap<String, String>")]
    sets: PolledSets,
    /// Whether more SETs wait. If it is left out, `false`.
    #[serde(default, rename = "moreAvailable", skip_serializing_if = "std::ops::Not::not")]
    more_available: bool,
}

/// Compact SETs by `jti`, in order.
struct PolledSets(Parcel);

impl Serialize for PolledSets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let signed = self.0.sets();
        let mut sets = serializer.serialize_map(Some(signed.len()))?;
        for SignedSet { set: PendingSet { jti, .. }, jws } in signed {
            let set = std::str::from_utf8(jws).expect("a compact JWS is ASCII");
            sets.serialize_entry(jti, set)?;
        }
        sets.end()
    }
}

/// The scope that a poll needs.
const SCOPE: Scope = Scope::Read;

/// The Receiver that waits for the answer to its poll.
struct WaitingReceiver<'a> {
    request: &'a HttpRequest,
    caller: &'a Principal,
}

impl Patience for WaitingReceiver<'_> {
    async fn abandoned(&self) {
        closed_by_peer(self.request).await;
    }

    async fn allowed(&self) -> Result<Option<Timestamp>, AuthError> {
        auth::still_allowed(self.request, self.caller, SCOPE).await
    }
}

pub(super) async fn poll(
    Receiver(caller): Receiver,
    transmitter: web::Data<Transmitter>,
    id: web::Path<String>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    caller.require(SCOPE)?;
    let members = body.object().await?;
    let poll = parse(members)?;
    let id: StreamId = id.into_inner().parse().map_err(|_| ApiError::NotFound)?;
    let receiver = WaitingReceiver { request: &request, caller: &caller };
    let PollAnswer { parcel, more_available } =
        transmitter.poll(&caller, &id, poll, &receiver).await?;
    let view = PolledView { sets: PolledSets(parcel), more_available };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// Parses a poll. Unknown members are ignored. A known member of the wrong type is an error
/// (RFC 8936 §2.5.1).
fn parse(mut members: Map<String, Value>) -> Result<PollRequest, ApiError> {
    let max_events = match members.remove("maxEvents") {
        None => None,
        Some(value) => Some(json::whole(&value).ok_or_else(|| {
            ApiError::bad("maxEvents", "must be a whole number of at least 0 (RFC 8936 §2.2)")
        })?),
    };
    let return_immediately = match members.remove("returnImmediately") {
        None => false,
        Some(Value::Bool(value)) => value,
        Some(_) => return Err(ApiError::bad("returnImmediately", "must be a boolean")),
    };
    let timeout =
        match members.remove("timeoutSecs") {
            None => None,
            Some(value) => Some(json::whole(&value).map(Duration::from_secs).ok_or_else(|| {
                ApiError::bad("timeoutSecs", "must be a whole number of at least 0")
            })?),
        };
    let ack = match members.remove("ack") {
        None => Vec::new(),
        Some(value) => serde_json::from_value::<Vec<String>>(value)
            .map_err(|_| ApiError::bad("ack", "must be an array of strings"))?,
    };
    let set_errs = match members.remove("setErrs") {
        None => Map::new(),
        Some(Value::Object(errors)) => errors,
        Some(_) => return Err(ApiError::bad("setErrs", "must be an object")),
    };
    for (member, count) in [("ack", ack.len()), ("setErrs", set_errs.len())] {
        if ACKS_MAX < count {
            return Err(ApiError::bad(member, format!("must name at most {ACKS_MAX} SETs")));
        }
    }
    let set_errs = set_errs.into_iter().map(parse_error).collect::<Result<Vec<_>, _>>()?;
    Ok(PollRequest {
        max_events: max_events.map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
        return_immediately,
        timeout,
        // A text that is no `jti` of ours is ignored like an unknown `jti`.
        ack: ack.iter().filter_map(|jti| jti.parse().ok()).collect(),
        set_errs: set_errs.into_iter().flatten().collect(),
    })
}

fn parse_error((jti, error): (String, Value)) -> Result<Option<(Jti, SetError)>, ApiError> {
    let Value::Object(mut error) = error else {
        return Err(ApiError::bad("setErrs", "must hold objects with `err` and `description`"));
    };
    let err = body::text_as(&mut error, "err", "setErrs.err")?;
    let err = err.ok_or_else(|| ApiError::bad("setErrs.err", "is required (RFC 8936 §2.6)"))?;
    let description = body::text_as(&mut error, "description", "setErrs.description")?;
    let error = SetError::new(&err, &description.unwrap_or_default());
    Ok(jti.parse().ok().map(|jti| (jti, error)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(body: Value) -> Result<PollRequest, ApiError> {
        let Value::Object(members) = body else { unreachable!("the cases are objects") };
        parse(members)
    }

    #[test]
    fn an_empty_object_is_a_long_poll_without_acknowledgements() {
        assert_eq!(parsed(json!({})).expect("valid"), PollRequest::default());
    }

    /// JSON Schema calls `2.0` an integer.
    #[test]
    fn a_whole_number_is_read_however_it_is_written() {
        for (number, expected) in [(json!(2.0), 2), (json!(2e3), 2000), (json!(-0.0), 0)] {
            let request = parsed(json!({"maxEvents": number})).expect("valid");
            assert_eq!(request.max_events, Some(expected));
        }
    }

    #[test]
    fn every_member_is_read() {
        let body = json!({"maxEvents": 2, "returnImmediately": true, "timeoutSecs": 10,
            "ack": ["b1"], "unknown": 1,
            "setErrs": {"b2": {"err": "invalid_request", "description": "no events"}}});
        let request = parsed(body).expect("valid");
        assert_eq!((request.max_events, request.return_immediately), (Some(2), true));
        assert_eq!(request.timeout, Some(Duration::from_secs(10)));
        assert_eq!(request.ack, ["b1".parse().expect("valid")]);
        let error = SetError::new("invalid_request", "no events");
        assert_eq!(request.set_errs, [("b2".parse().expect("valid"), error)]);
    }

    #[test]
    fn a_member_of_the_wrong_type_is_named() {
        for (body, member) in [
            (json!({"maxEvents": -1}), "maxEvents"),
            (json!({"maxEvents": "2"}), "maxEvents"),
            (json!({"maxEvents": 1.5}), "maxEvents"),
            (json!({"returnImmediately": 1}), "returnImmediately"),
            (json!({"timeoutSecs": -1}), "timeoutSecs"),
            (json!({"ack": "b1"}), "ack"),
            (json!({"ack": [1]}), "ack"),
            (json!({"setErrs": []}), "setErrs"),
            (json!({"setErrs": {"b2": "bad"}}), "setErrs"),
            (json!({"setErrs": {"b2": {}}}), "setErrs.err"),
            (json!({"setErrs": {"b2": {"err": null}}}), "setErrs.err"),
            (json!({"setErrs": {"b2": {"err": 7}}}), "setErrs.err"),
            (json!({"setErrs": {"b2": {"err": "x", "description": 7}}}), "setErrs.description"),
            (json!({"ack": vec!["b1"; ACKS_MAX + 1]}), "ack"),
        ] {
            let error = parsed(body).expect_err(member).to_string();
            assert!(error.starts_with(&format!("`{member}`")), "{error}");
        }
    }
}
