//! The native events of identity providers: one path for each source.
//!
//! Each source has the protocol of its sender, which is why the document of the interface does not describe
//! its requests and answers. `source` judges and answers them.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse, ResponseError as _,
    http::{StatusCode, header},
    web,
};
use bytes::Bytes;

use crate::{
    auth::Authenticator,
    http::{
        body::Body,
        caller,
        error::{self, ApiError},
    },
    source::{
        SourceSet,
        client_certificate::ClientCertificate,
        request::{Headers, Method, Reply, SourceRequest},
    },
};

pub(super) async fn receive(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    sources: web::Data<SourceSet>,
    authenticator: web::Data<Authenticator>,
    body: Body,
) -> HttpResponse {
    let (provider, name) = path.into_inner();
    let Some(source) = sources.at(&provider, &name).cloned() else {
        return error::not_found().await;
    };
    let method = match request.method().as_str() {
        "GET" => Some(Method::Get),
        "POST" => Some(Method::Post),
        "PUT" => Some(Method::Put),
        _ => None,
    };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    // Before anything of the body is read.
    if let Some(reply) = source.before_body(method, length) {
        return respond(reply);
    }
    let body = match body.at_most(source.parts().bounds.body_bytes_max).bytes().await {
        Ok(body) => body,
        Err(error) => {
            source.body_refused();
            return error.error_response();
        }
    };
    let header = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    let from = caller::address(&request);
    let reply = source.receive(SourceRequest {
        method: method.unwrap_or(Method::Post),
        headers: Headers::new(request.headers().iter().map(header)),
        query: request.query_string().to_owned(),
        body: Bytes::from(body),
        peer: request.peer_addr().map(|peer| peer.ip()),
        certificate: request.conn_data::<Arc<ClientCertificate>>().cloned(),
    });
    let reply = reply.await;
    if reply.is_refusal
        && let Err(too_many) = authenticator.rates().admit_refused(Some(from))
    {
        return ApiError::from(too_many).error_response();
    }
    respond(reply)
}

fn respond(reply: Reply) -> HttpResponse {
    let status = StatusCode::from_u16(reply.status).expect("a source has known statuses");
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    for (name, value) in reply.headers {
        response.insert_header((name, value));
    }
    match reply.content_type {
        Some(content_type) => response.content_type(content_type).body(reply.body),
        None => response.finish(),
    }
}
