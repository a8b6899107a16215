//! Subjects of a stream (SSF §8.1.3).

use actix_web::{HttpResponse, http::header, web};
use serde_json::{Map, Value};

use crate::{
    auth::Principal,
    domain::{grant::Scope, id::StreamId, provider::Provider, subject::SubjectId},
    http::{
        Of,
        auth::Receiver,
        body::{self, Body},
        error::ApiError,
    },
    transmitter::Transmitter,
};

/// Adds a subject. The answer is 200 without a body, whoever the subject is (SSF §8.1.3.2, §9.1).
pub(super) async fn add(
    Receiver(caller): Receiver,
    provider: Of,
    transmitter: web::Data<Transmitter>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let mut members = read(&caller, body).await?;
    let (id, subject) = stream_and_subject(&caller, &provider, &transmitter, &mut members)?;
    // The value does not matter to us, because the Receiver wants the subject in either case.
    if members.get("verified").is_some_and(|verified| !verified.is_boolean()) {
        return Err(ApiError::bad("verified", "must be true or false (SSF §8.1.3.2)"));
    }
    drop(members);
    transmitter.add_subject(&caller, &provider, &id, &subject).await?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).finish())
}

/// Removes a subject. The answer is 204, whether or not the subject was on the stream (SSF §8.1.3.3).
pub(super) async fn remove(
    Receiver(caller): Receiver,
    provider: Of,
    transmitter: web::Data<Transmitter>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let mut members = read(&caller, body).await?;
    let (id, subject) = stream_and_subject(&caller, &provider, &transmitter, &mut members)?;
    drop(members);
    transmitter.remove_subject(&caller, &provider, &id, &subject).await?;
    Ok(HttpResponse::NoContent().insert_header((header::CACHE_CONTROL, "no-store")).finish())
}

async fn read(caller: &Principal, body: Body) -> Result<Map<String, Value>, ApiError> {
    caller.require(Scope::Subjects)?;
    body.object().await
}

fn stream_and_subject(
    caller: &Principal,
    provider: &Provider,
    transmitter: &Transmitter,
    members: &mut Map<String, Value>,
) -> Result<(StreamId, SubjectId), ApiError> {
    let id = body::stream_id(members)?;
    // The stream is looked up before the subject is judged, so that nothing of another Receiver's
    // stream shows.
    transmitter.stream(caller, &id)?;
    let subject = match members.remove("subject") {
        Some(subject @ Value::Object(_)) => subject,
        Some(_) => return Err(ApiError::bad("subject", "must be an object (SSF §8.1.3.2)")),
        None => return Err(ApiError::bad("subject", "is required")),
    };
    let subject = SubjectId::try_from(subject).and_then(|subject| provider.admit_subject(subject));
    let subject =
        subject.map_err(|error| ApiError::bad("subject", format!("is not valid: {error}")))?;
    Ok((id, subject))
}
