//! The methods of public documents.

use hyper::{
    Method,
    header::{ALLOW, ETAG},
};

use super::assert_refused;
use crate::harness::{
    daemon::{Daemon, PROVIDER},
    http_client::{Call, get},
};

const WELL_KNOWN: &str = "/.well-known/ssf-configuration";

/// RFC 9110 §9.1, §15.5.6.
#[actix_web::test]
async fn a_public_document_has_get_and_head_alone() {
    let daemon = Daemon::start().await;
    for url in [
        daemon.public_url(&format!("{WELL_KNOWN}/t/acme")),
        daemon.provider_url(PROVIDER, WELL_KNOWN),
        daemon.provider_url(PROVIDER, "/jwks.json"),
    ] {
        let read = get(&url).send().await.expect(200);
        let head = Call::new(Method::HEAD, &url).send().await.expect(200);
        assert_eq!(head.header(ETAG), read.header(ETAG));
        assert!(head.body.is_empty());
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = Call::new(method, &url).send().await;
            assert_refused(&answer, 405, "");
            assert_eq!(answer.header(ALLOW), "GET, HEAD");
        }
    }
}
