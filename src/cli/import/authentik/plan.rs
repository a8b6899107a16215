//! Says what becomes of each stream of an export: made, or left as it is.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::export::{Export, Stream};
use crate::{
    cli::{CliError, admin::AdminClient},
    domain::{
        audience::Audience,
        event_type::EventType,
        id::{ProviderName, ReceiverId, StreamId},
        stream::METHOD_PUSH,
    },
    http::admin::streams::StreamView,
};

/// The path of the daemon's streams.
const STREAMS: &str = "streams";

/// One stream of the export, and what becomes of it.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) stream: &'a Stream,
    pub(super) fate: Fate,
}

#[derive(Debug)]
pub(super) enum Fate {
    /// The stream is made by this body. The daemon has checked it.
    Make { body: Value, planned: Box<StreamView> },
    /// The Receiver has a stream of this id already. It is left as it is, because the Receiver or an
    /// operator may have changed it since an earlier import.
    Kept { found: Box<StreamView>, differs: Vec<&'static str> },
}

impl Plan<'_> {
    /// Returns the body that makes the stream, if it is to be made.
    pub(super) fn body(&self) -> Option<&Value> {
        match &self.fate {
            Fate::Make { body, .. } => Some(body),
            Fate::Kept { .. } => None,
        }
    }

    /// Returns the stream at the daemon, as it is or as it will be.
    pub(super) fn view(&self) -> &StreamView {
        match &self.fate {
            Fate::Make { planned: view, .. } | Fate::Kept { found: view, .. } => view,
        }
    }
}

/// Plans all streams, each of which has an owner. Changes nothing. Returns all that is wrong with them.
pub(super) async fn make<'a>(
    admin: &AdminClient,
    export: &'a Export,
    owners: &BTreeMap<StreamId, ReceiverId>,
    provider: Option<&ProviderName>,
) -> Result<Result<Vec<Plan<'a>>, Vec<String>>, CliError> {
    let (mut plans, mut flaws) = (Vec::new(), Vec::new());
    for stream in &export.streams {
        match plan(admin, stream, &owners[&stream.id], provider).await? {
            Ok(fate) => plans.push(Plan { stream, fate }),
            Err(flaw) => flaws.push(format!("stream {}: {flaw}", stream.id)),
        }
    }
    Ok(if flaws.is_empty() { Ok(plans) } else { Err(flaws) })
}

/// Makes a stream that was planned.
pub(super) async fn perform(admin: &AdminClient, body: &Value) -> Result<(), CliError> {
    admin.post::<StreamView>(&[STREAMS], body).await.map(drop)
}

async fn plan(
    admin: &AdminClient,
    stream: &Stream,
    receiver: &ReceiverId,
    provider: Option<&ProviderName>,
) -> Result<Result<Fate, String>, CliError> {
    let body = body(stream, receiver, provider);
    if let Some(found) = admin.find::<StreamView>(&[STREAMS, stream.id.as_str()]).await? {
        return Ok(kept(stream, receiver, provider, found));
    }
    let mut trial = body.clone();
    trial["dry_run"] = true.into();
    Ok(match admin.offer::<StreamView>(&[STREAMS], &trial).await? {
        Ok(planned) => match unknown_type(stream, &planned) {
            Some(unknown) => Err(format!(
                "`events_requested` has `{unknown}`, which no specification defines and the provider \
                 `{}` does not offer; list it in `providers.{}.events_supported`, or remove it from the \
                 export",
                planned.provider, planned.provider
            )),
            None => Ok(Fate::Make { body, planned: Box::new(planned) }),
        },
        Err(refusal) => Err(with_remedy(refusal)),
    })
}

/// Makes the body of the request that makes a stream. `aud` is an array, as in authentik's SETs.
fn body(stream: &Stream, receiver: &ReceiverId, provider: Option<&ProviderName>) -> Value {
    let mut delivery = json!({"method": stream.method.1});
    if stream.method.1 == METHOD_PUSH {
        delivery["endpoint_url"] = json!(stream.endpoint_url);
        delivery["authorization_header"] = json!(stream.authorization_header);
    }
    let mut body = json!({
        "stream_id": stream.id, "receiver": receiver, "aud": stream.aud, "delivery": delivery,
        "events_requested": stream.events_requested,
        "status": stream.status.as_str(),
    });
    match provider {
        Some(provider) => body["provider"] = json!(provider),
        None => body["iss"] = json!(stream.iss),
    }
    body
}

/// Compares a stream of the export with the daemon's stream of the same id.
fn kept(
    stream: &Stream,
    receiver: &ReceiverId,
    provider: Option<&ProviderName>,
    found: StreamView,
) -> Result<Fate, String> {
    let here = provider.map_or(found.iss == stream.iss, |provider| *provider == found.provider);
    if found.receiver != *receiver || !here {
        return Err(format!(
            "`pk` is the id of a stream of the Receiver `{}` at the provider `{}`; if it is the same \
             stream, give that Receiver with --receiver and that provider with --provider, otherwise \
             delete it first (`ssfd streams delete`)",
            found.receiver, found.provider
        ));
    }
    let is_push = stream.method.1 == METHOD_PUSH;
    let same = [
        ("aud", Audience::list(stream.aud.clone()).is_ok_and(|aud| aud == found.aud)),
        ("delivery_method", stream.method.1 == found.delivery.method),
        (
            "endpoint_url",
            !is_push || stream.endpoint_url.as_ref() == Some(&found.delivery.endpoint_url),
        ),
        (
            "authorization_header",
            stream.authorization_header.is_none() || found.delivery.has_authorization_header,
        ),
        ("events_requested", found.events_requested.as_ref() == Some(&stream.events_requested)),
        ("status", stream.status.as_str() == found.status),
    ];
    let differs = same.into_iter().filter(|(_, same)| !same).map(|(member, _)| member).collect();
    Ok(Fate::Kept { found: Box::new(found), differs })
}

/// Returns the requested types that are not delivered, except control events.
pub(super) fn undelivered<'a>(
    stream: &'a Stream,
    view: &'a StreamView,
) -> impl Iterator<Item = EventType> {
    let requested =
        stream.events_requested.iter().filter(|uri| !view.events_delivered.contains(uri));
    let types = requested.filter_map(|uri| uri.parse::<EventType>().ok());
    types.filter(|event_type| !event_type.is_control())
}

fn unknown_type(stream: &Stream, view: &StreamView) -> Option<EventType> {
    undelivered(stream, view).find(|event_type| event_type.definition().is_none())
}

/// Adds the remedy to a refusal by the daemon that has none.
fn with_remedy(refusal: String) -> String {
    if refusal.starts_with("`delivery.endpoint_url` must not be used") {
        return format!(
            "{refusal}; allow it by `allow_networks`, `allow_ports` or `allow_hosts` of the provider, or \
             change the endpoint in the export"
        );
    }
    refusal
}
