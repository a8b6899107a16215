//! Verification (SSF §8.1.4).

use actix_web::{HttpResponse, http::header, web};

use crate::{
    domain::{grant::Scope, verification::STATE_LENGTH_MAX},
    http::{
        Of,
        auth::Receiver,
        body::{self, Body},
        error::ApiError,
    },
    transmitter::Transmitter,
};

pub(super) async fn request(
    Receiver(caller): Receiver,
    provider: Of,
    transmitter: web::Data<Transmitter>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::Verify)?;
    let mut members = body.object().await?;
    let id = body::stream_id(&mut members)?;
    let state = body::text(&mut members, "state")?;
    if state.as_ref().is_some_and(|state| STATE_LENGTH_MAX < state.len()) {
        let rule = format!("must be at most {STATE_LENGTH_MAX} bytes long");
        return Err(ApiError::bad("state", rule));
    }
    drop(members);
    transmitter.verify_stream(&caller, &provider, &id, state.as_deref()).await?;
    Ok(HttpResponse::NoContent().insert_header((header::CACHE_CONTROL, "no-store")).finish())
}
