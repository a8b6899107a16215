//! The public keys of a provider (RFC 7517 §5).

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, IfNoneMatch},
    web,
};

use crate::{
    http::{Of, document::Document, error::not_found},
    signing::material::CurrentMaterial,
};

/// How long a Receiver may cache the keys, in seconds. The time is short, so that a new key is soon
/// known everywhere.
const MAX_AGE_SECS: u32 = 300;

pub(super) async fn key_set(
    request: HttpRequest,
    provider: Of,
    material: web::Data<CurrentMaterial>,
) -> HttpResponse {
    match material.get().key_rings.get(&provider.name) {
        Some(ring) => cacheable(&request, ring.jwks_json().to_owned(), MAX_AGE_SECS),
        None => not_found().await,
    }
}

/// Answers with a public document that may be cached for a while. A further request with its `ETag` is
/// answered 304.
pub(super) fn cacheable(
    request: &HttpRequest,
    json: impl Into<Document>,
    max_age_secs: u32,
) -> HttpResponse {
    use actix_web::http::header::Header;

    let json = json.into();
    let tag = json.tag();
    let known = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
        Err(_) => false,
    };
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header(header::ETag(tag))
        .insert_header((header::CACHE_CONTROL, format!("public, max-age={max_age_secs}")))
        // Scripts in browsers read these documents too. They are the same for everybody, so that caches
        // need not keep them by `Origin`.
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
    if known {
        return response.finish();
    }
    response.content_type("application/json").body(json)
}
