//! Turns credentials into principals. The types are extractors, so that a credential is judged before
//! the handler reads the body.

use std::{future::Future, net::IpAddr, pin::Pin};

use actix_web::{
    Error, FromRequest, HttpMessage as _, HttpRequest,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header::{self, HeaderValue},
    middleware::Next,
    web,
};

use crate::{
    auth::{AuthError, Authenticator, Principal, PublisherPrincipal, rates::ReceiverKey},
    clock,
    domain::{grant::Scope, oauth::PROTECTED_RESOURCE, provider::Provider, time::Timestamp},
    http::{
        caller,
        error::{ApiError, CHALLENGE},
        unread::UnreadBytes,
    },
};

/// The Receiver that sent the request, by its bearer token (SSF §8).
pub(super) struct Receiver(pub(super) Principal);

/// The publisher that sends events, known by its bearer token.
pub(super) struct Publisher(pub(super) PublisherPrincipal);

/// An operator of this daemon, known by a bearer token.
pub(super) struct Operator;

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

fn service<T: 'static>(request: &HttpRequest) -> web::Data<T> {
    request.app_data::<web::Data<T>>().expect("every listener provides its services").clone()
}

/// Returns the value of `Authorization`. A token in the query counts as no token (RFC 6750 §2.3).
fn authorization(request: &HttpRequest) -> Result<Option<Vec<u8>>, AuthError> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value| value.as_bytes().to_vec())),
        (_, Some(_)) => Err(AuthError::SeveralCredentials),
    }
}

impl FromRequest for Receiver {
    type Error = ApiError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let authenticator = service::<Authenticator>(request);
        let provider = service::<Provider>(request);
        let authorization = authorization(request);
        let (from, request) = (caller::address(request), request.clone());
        Box::pin(async move {
            let now = clock::now();
            let authorization = authorization?;
            let principal = authenticator
                .receiver_from(from, &provider.name, authorization.as_deref(), now)
                .await?;
            let receiver = ReceiverKey::from(&principal);
            service::<UnreadBytes>(&request).admit(&receiver).map_err(ApiError::from)?;
            request.extensions_mut().insert(receiver);
            Ok(Self(principal))
        })
    }
}

/// Judges the credential of a request again, after the request has waited. The Receiver must be the same
/// and still hold the scope. Returns until when the judgement holds.
pub(super) async fn still_allowed(
    request: &HttpRequest,
    caller: &Principal,
    scope: Scope,
) -> Result<Option<Timestamp>, AuthError> {
    let authenticator = service::<Authenticator>(request);
    let authorization = authorization(request)?;
    let now =
        authenticator.receiver(&caller.provider, authorization.as_deref(), clock::now()).await?;
    if now.receiver != caller.receiver {
        return Err(AuthError::InvalidToken);
    }
    now.require(scope)?;
    Ok(now.holds_until)
}

/// Counts a refused credential for its address. Too many of them are answered 429.
fn limited<T>(
    authenticator: &Authenticator,
    from: IpAddr,
    judged: Result<T, AuthError>,
) -> Result<T, AuthError> {
    if let Err(AuthError::InvalidToken) = judged {
        authenticator.rates().admit_refused(Some(from))?;
    }
    judged
}

impl FromRequest for Publisher {
    type Error = ApiError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let authenticator = service::<Authenticator>(request);
        let (authorization, from) = (authorization(request), caller::address(request));
        Box::pin(async move {
            let publisher = authenticator.publisher(authorization?.as_deref(), clock::now()).await;
            Ok(Self(limited(&authenticator, from, publisher)?))
        })
    }
}

impl FromRequest for Operator {
    type Error = ApiError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let authenticator = service::<Authenticator>(request);
        let (authorization, from) = (authorization(request), caller::address(request));
        let (method, path) = (request.method().clone(), request.path().to_owned());
        Box::pin(async move {
            let operator = authenticator.operator(authorization?.as_deref(), clock::now()).await;
            let operator = limited(&authenticator, from, operator)?;
            tracing::debug!(by = %operator.credential, %method, path, "an operator's request");
            Ok(Self)
        })
    }
}

/// Adds to each bearer challenge of a provider the URL of the provider's metadata, by which a client
/// finds the authorization server (RFC 9728 §5.1).
pub(super) async fn name_resource_metadata<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut response = next.call(request).await?;
    let challenge = response.headers().get(header::WWW_AUTHENTICATE);
    let rest = challenge.and_then(|value| value.to_str().ok()?.strip_prefix(CHALLENGE));
    if let Some(rest) = rest
        && let Some(provider) = response.request().app_data::<web::Data<Provider>>()
    {
        let url = provider.issuer.well_known_url(PROTECTED_RESOURCE);
        let challenge = format!(r#"{CHALLENGE}, resource_metadata="{url}"{rest}"#);
        let challenge = HeaderValue::try_from(challenge).expect("an issuer is a plain URL");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    Ok(response)
}
