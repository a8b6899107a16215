//! The documents by which a client finds the authorization server (RFC 9728, RFC 8414), and the token
//! endpoint (RFC 6749).

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::Serialize;
use url::form_urlencoded;

use crate::{
    auth::{
        Authenticator,
        token_endpoint::{ClientCredentialsRequest, Credentials, Issued, TokenError},
    },
    clock,
    domain::{
        grant::Scope,
        oauth::{AuthorizationServerMetadata, ProtectedResource},
        secret::Secret,
        verification::whole_secs,
    },
    http::{
        Of,
        body::Body,
        caller,
        error::{ApiError, not_found},
        jwks::cacheable,
    },
};

/// How long a client may cache the documents, in seconds.
const MAX_AGE_SECS: u32 = 3600;

/// The largest request for a token, in bytes.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// An access token (RFC 6749 §5.1).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AccessToken")]
pub(super) struct TokenView<'a> {
    access_token: &'a str,
    /// `Bearer` (RFC 6750).
    token_type: &'static str,
    /// How long the token is valid, in seconds.
    expires_in: u64,
    /// The scopes of the token, separated by spaces.
    scope: String,
}

/// The refusal of a token (RFC 6749 §5.2).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TokenRefusal")]
pub(super) struct RefusalView<'a> {
    /// A code of RFC 6749 §5.2, or `temporarily_unavailable`.
    error: &'static str,
    error_description: &'a str,
}

pub(super) async fn protected_resource(
    request: HttpRequest,
    provider: Of,
    authenticator: web::Data<Authenticator>,
) -> HttpResponse {
    let external = authenticator.external_issuer(&provider.name);
    let server = external.unwrap_or(provider.issuer.as_str());
    let document = ProtectedResource::of(&provider.issuer, server);
    let body = serde_json::to_string(&document).expect("metadata is plain JSON");
    cacheable(&request, body, MAX_AGE_SECS)
}

/// Answers 404 if another server issues the tokens, because that server has a document of its own.
pub(super) async fn authorization_server(
    request: HttpRequest,
    provider: Of,
    authenticator: web::Data<Authenticator>,
) -> HttpResponse {
    if authenticator.external_issuer(&provider.name).is_some() {
        return not_found().await;
    }
    let document = AuthorizationServerMetadata::of(&provider.issuer);
    let body = serde_json::to_string(&document).expect("metadata is plain JSON");
    cacheable(&request, body, MAX_AGE_SECS)
}

/// Issues a token. A refusal for which RFC 6749 §5.2 has a code has the form of that section. All
/// other refusals have the form of RFC 9457.
pub(super) async fn token(
    request: HttpRequest,
    provider: Of,
    authenticator: web::Data<Authenticator>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    if authenticator.external_issuer(&provider.name).is_some() {
        return Ok(not_found().await);
    }
    let from = caller::address(&request);
    let body = body.at_most(REQUEST_BYTES_MAX).bytes().await?;
    let request = match read(&request, &body) {
        Ok(request) => request,
        Err(refusal) => return Ok(refusal.answer()),
    };
    match authenticator.issue(&provider.name, request, Some(from), clock::now()).await {
        None => Ok(not_found().await),
        Some(Ok(issued)) => Ok(answer(&issued)),
        Some(Err(TokenError::Store(error))) => Err(error.into()),
        Some(Err(error)) => Ok(Refusal::of(&error).answer()),
    }
}

fn answer(issued: &Issued) -> HttpResponse {
    uncached(StatusCode::OK).json(TokenView {
        access_token: issued.token.expose(),
        token_type: "Bearer",
        expires_in: issued.lifetime.as_secs(),
        scope: Scope::list(&issued.scopes),
    })
}

/// Begins a response that nobody may cache. RFC 6749 §5.1 requires both headers.
fn uncached(status: StatusCode) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"));
    response
}

/// An answer without a token (RFC 6749 §5.2).
struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: String,
    retry_after: Option<u64>,
}

impl Refusal {
    fn invalid_request(description: impl Into<String>) -> Self {
        let description = description.into();
        Self {
            status: StatusCode::BAD_REQUEST,
            error: "invalid_request",
            description,
            retry_after: None,
        }
    }

    fn of(error: &TokenError) -> Self {
        let (status, code) = match error {
            TokenError::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            TokenError::NoGrantType => (StatusCode::BAD_REQUEST, "invalid_request"),
            TokenError::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            TokenError::InvalidScope => (StatusCode::BAD_REQUEST, "invalid_scope"),
            // The token endpoint has no code for this. The authorization endpoint has one (§4.1.2.1).
            TokenError::TooMany { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable")
            }
            TokenError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
        };
        let retry_after = match error {
            TokenError::TooMany { wait } => Some(whole_secs(*wait)),
            _ => None,
        };
        Self { status, error: code, description: error.to_string(), retry_after }
    }

    fn answer(&self) -> HttpResponse {
        let mut response = uncached(self.status);
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, r#"Basic realm="ssf""#));
        }
        if let Some(secs) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, secs.to_string()));
        }
        response.json(RefusalView { error: self.error, error_description: &self.description })
    }
}

/// Reads a request (RFC 6749 §4.4.2): a form, and the client's credentials in the header or in the form.
/// The query is ignored.
fn read(request: &HttpRequest, body: &[u8]) -> Result<ClientCredentialsRequest, Refusal> {
    let form = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let form = form.and_then(|value| value.split(';').next()).map(str::trim);
    if !form.is_some_and(|form| form.eq_ignore_ascii_case("application/x-www-form-urlencoded")) {
        return Err(Refusal::invalid_request("the body must be a form, with its `Content-Type`"));
    }
    let mut form = Form::parse(body)?;
    let credentials = credentials(request, form.client_id.take(), form.client_secret.take())?;
    Ok(ClientCredentialsRequest { credentials, grant_type: form.grant_type, scope: form.scope })
}

/// The known parameters of a request. Unknown ones are ignored (RFC 6749 §3.2).
#[derive(Default)]
struct Form {
    grant_type: Option<String>,
    scope: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

impl Form {
    fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            let parameter = match &*name {
                "grant_type" => &mut form.grant_type,
                "scope" => &mut form.scope,
                "client_id" => &mut form.client_id,
                "client_secret" => &mut form.client_secret,
                _ => continue,
            };
            // A parameter without a value counts as absent.
            if !value.is_empty() && parameter.replace(value.into_owned()).is_some() {
                return Err(Refusal::invalid_request(format!("`{name}` must be given once")));
            }
        }
        Ok(form)
    }
}

/// Reads the credentials of the client (RFC 6749 §2.3.1), which must come by exactly one method.
fn credentials(
    request: &HttpRequest,
    client_id: Option<String>,
    client_secret: Option<String>,
) -> Result<Credentials, Refusal> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let invalid = || Refusal::of(&TokenError::InvalidClient);
    match (headers.next(), headers.next(), client_id, client_secret) {
        (Some(_), Some(_), ..) | (Some(_), None, _, Some(_)) => {
            Err(Refusal::invalid_request("the client must authenticate by one method"))
        }
        // Some clients repeat their id in the form.
        (Some(value), None, named, None) => {
            let shown = basic(value.as_bytes()).ok_or_else(invalid)?;
            match named {
                Some(named) if named != shown.client_id => {
                    Err(Refusal::invalid_request("`client_id` differs from the one in the header"))
                }
                _ => Ok(shown),
            }
        }
        (None, _, Some(client_id), Some(secret)) => {
            Ok(Credentials { client_id, client_secret: Secret::new(secret) })
        }
        (None, _, _, _) => Err(invalid()),
    }
}

/// Parses HTTP Basic credentials (RFC 7617), both parts encoded as in a form (RFC 6749 §2.3.1).
fn basic(value: &[u8]) -> Option<Credentials> {
    let (scheme, encoded) = std::str::from_utf8(value).ok()?.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, client_secret) = pair.split_once(':')?;
    let decode = |text: &str| {
        // Escaped, so that the parser reads one name without a value.
        let text = text.replace('=', "%3D").replace('&', "%26");
        form_urlencoded::parse(text.as_bytes()).next().map(|(text, _)| text.into_owned())
    };
    Some(Credentials {
        client_id: decode(client_id)?,
        client_secret: Secret::new(decode(client_secret)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pair: &str, expected: Option<(&str, &str)>) {
        let found = basic(format!("Basic {}", STANDARD.encode(pair)).as_bytes());
        let found = found.map(|it| (it.client_id, it.client_secret.expose().to_owned()));
        assert_eq!(found, expected.map(|(id, secret)| (id.to_owned(), secret.to_owned())));
    }

    #[test]
    fn basic_credentials_are_encoded_as_in_a_form() {
        check("rx:s", Some(("rx", "s")));
        check("a%3Ab:c%20d+e", Some(("a:b", "c d e")));
        check("rx:a:b=c&d", Some(("rx", "a:b=c&d")));
        check("rx", None);
        check("rx:", None);
        assert!(basic(b"Bearer abc").is_none());
        assert!(basic(b"Basic !").is_none());
    }

    #[test]
    fn a_parameter_is_given_once_and_without_a_value_not_at_all() {
        let form = Form::parse(b"grant_type=&grant_type=x&y=1&y=2&scope=a+b").ok().expect("a form");
        assert_eq!(form.grant_type.as_deref(), Some("x"));
        assert_eq!(form.scope.as_deref(), Some("a b"));
        assert!(Form::parse(b"scope=a&scope=a").is_err());
    }
}
