//! A stream that an operator makes for a Receiver.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde_json::{Value, from_value};

use super::{BodyMembers, answer, streams::StreamView};
use crate::{
    directory::Directory,
    domain::{
        audience::{Audience, InvalidAudience},
        id::ProviderName,
        provider::Provider,
        status::StreamStatus,
        stream::ReceiverMembers,
    },
    http::{auth::Operator, body::Body, error::ApiError, streams::delivery},
    transmitter::{Transmitter, operator::OperatedStream},
};

/// The largest body, in bytes. The members are bounded one by one, `events_requested` by far more than
/// the members of other bodies.
const BYTES_MAX: usize = 256 * 1024;

pub(in crate::http) async fn create(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let mut members = BodyMembers(body.at_most(BYTES_MAX).object().await?);
    let provider = provider_of(&mut members, transmitter.directory())?;
    let dry_run = members.flag("dry_run")?;
    let stream = new_stream(members, &provider)?;
    let planned = transmitter.plan_stream(&provider, stream)?;
    if dry_run {
        return Ok(answer(HttpResponse::Ok(), StreamView::of(&planned, &transmitter)?));
    }
    let stream = transmitter.make_stream(planned).await?;
    Ok(answer(HttpResponse::Created(), StreamView::of(&stream, &transmitter)?))
}

/// Finds the provider by its name, by its issuer, or because there is only one. An `iss` beside the name
/// must be the provider's, because SETs with another one than the operator expects would be refused.
fn provider_of(
    members: &mut BodyMembers,
    directory: &Directory,
) -> Result<Arc<Provider>, ApiError> {
    let (name, issuer) = (members.parsed::<ProviderName>("provider")?, members.text("iss")?);
    let names = || {
        let names: Vec<_> = directory.providers().map(|one| format!("`{}`", one.name)).collect();
        names.join(", ")
    };
    let has_issuer = |provider: &Provider| Some(provider.issuer.as_str()) == issuer.as_deref();
    let found = match (&name, &issuer) {
        (Some(name), _) => directory.provider(name).ok_or_else(|| {
            ApiError::bad("provider", format!("must be one of {}, not `{name}`", names()))
        })?,
        (None, Some(issuer)) => {
            directory.providers().find(|provider| has_issuer(provider)).ok_or_else(|| {
                let rule = format!(
                    "`{issuer}` is the issuer of no provider; set `providers.<name>.issuer` to it, or \
                     name the `provider`, which is one of {}",
                    names()
                );
                ApiError::bad("iss", rule)
            })?
        }
        (None, None) => {
            let mut all = directory.providers();
            all.next().filter(|_| all.next().is_none()).ok_or_else(|| {
                ApiError::bad("provider", format!("is required, and must be one of {}", names()))
            })?
        }
    };
    if issuer.is_some() && !has_issuer(found) {
        let rule = format!("must be `{}`, the issuer of `{}`", found.issuer, found.name);
        return Err(ApiError::bad("iss", rule));
    }
    Ok(Arc::clone(found))
}

fn new_stream(mut members: BodyMembers, provider: &Provider) -> Result<OperatedStream, ApiError> {
    let required = |name: &'static str| ApiError::bad(name, "is required");
    let id = members.parsed("stream_id")?;
    let receiver = members.parsed("receiver")?.ok_or_else(|| required("receiver"))?;
    let audience = members.value("aud").ok_or_else(|| required("aud"))?;
    let audience: Audience =
        from_value(audience).map_err(|_| ApiError::bad("aud", InvalidAudience.to_string()))?;
    let events_requested = members.texts("events_requested")?;
    let delivery = match members.value("delivery") {
        None => None,
        Some(Value::Object(delivery)) => Some(delivery::parse(delivery, provider, None)?),
        Some(_) => return Err(ApiError::bad("delivery", "must be an object with a `method`")),
    };
    let description = members.text("description")?;
    let subject_format = members.parsed("subject_format")?;
    let status = members.parsed("status")?.unwrap_or(StreamStatus::Enabled);
    let reason = members.text("reason")?;
    members.end()?;
    let given =
        ReceiverMembers { events_requested, delivery, description, ..ReceiverMembers::default() };
    Ok(OperatedStream { id, receiver, audience, given, subject_format, status, reason })
}
