//! Discovery (SSF §7).

use actix_web::{HttpRequest, HttpResponse};

use crate::{
    domain::metadata::TransmitterMetadata,
    http::{Of, jwks::cacheable},
};

/// How long a Receiver may cache the metadata, in seconds.
const MAX_AGE_SECS: u32 = 3600;

pub(super) async fn metadata(request: HttpRequest, provider: Of) -> HttpResponse {
    let body =
        serde_json::to_string(&TransmitterMetadata::of(&provider)).expect("metadata is plain JSON");
    cacheable(&request, body, MAX_AGE_SECS)
}
