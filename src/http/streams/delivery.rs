//! Parses the `delivery` that a Receiver asks for (SSF §6.1).

use serde_json::{Map, Value};

use crate::{
    domain::{
        json,
        provider::Provider,
        secret::Secret,
        stream::{Delivery, METHOD_POLL, METHOD_PUSH, PushEndpoint},
    },
    http::{body, error::ApiError},
};

/// The names of the methods in the RISC profile of April 2018 (§5.2.1), and in SSF.
const LEGACY_METHODS: [(&str, &str); 2] = [
    ("https://schemas.openid.net/secevent/risc/delivery-method/push", METHOD_PUSH),
    ("https://schemas.openid.net/secevent/risc/delivery-method/poll", METHOD_POLL),
];

/// The names of members in the samples of that profile, and in its text and in SSF.
const LEGACY_MEMBERS: [(&str, &str); 2] = [("delivery_method", "method"), ("url", "endpoint_url")];

/// Parses the object. `assigned` is the poll URL of an existing stream; a new stream has none yet.
pub(in crate::http) fn parse(
    mut members: Map<String, Value>,
    provider: &Provider,
    assigned: Option<&str>,
) -> Result<Delivery, ApiError> {
    json::without_nulls(&mut members);
    if provider.legacy_delivery_methods {
        modernize(&mut members);
    }
    let mut text = |member: &str, name| body::text_as(&mut members, member, name);
    let method = text("method", "delivery.method")?;
    let endpoint_url = text("endpoint_url", "delivery.endpoint_url")?;
    let authorization = text("authorization_header", "delivery.authorization_header")?;
    match (method.as_deref(), endpoint_url) {
        (Some(METHOD_PUSH), Some(url)) => {
            let authorization = authorization.map(Secret::new);
            let endpoint = PushEndpoint::requested(
                &url,
                authorization,
                provider.insecure_endpoints,
                &provider.endpoint_policy,
            )?;
            Ok(Delivery::Push(endpoint))
        }
        (Some(METHOD_PUSH), None) => {
            Err(ApiError::bad("delivery.endpoint_url", "is required for push (SSF §6.1.1)"))
        }
        // A Receiver may repeat the URL that it was given, but need not (SSF §6.1.2). Real ones send an
        // empty one, and at a create whatever they have.
        (Some(METHOD_POLL), url)
            if assigned.is_none()
                || url.as_deref().is_none_or(|url| url.is_empty() || Some(url) == assigned) =>
        {
            Ok(Delivery::Poll)
        }
        (Some(METHOD_POLL), _) => Err(ApiError::bad(
            "delivery.endpoint_url",
            "is for the Transmitter to assign to a poll stream (SSF §6.1.2)",
        )),
        (Some(_) | None, _) => Err(ApiError::bad(
            "delivery.method",
            format!("must be `{METHOD_PUSH}` or `{METHOD_POLL}`"),
        )),
    }
}

/// Replaces the names of 2018 by those of SSF. If both names of a member are given, that of SSF counts.
fn modernize(members: &mut Map<String, Value>) {
    for (old, new) in LEGACY_MEMBERS {
        if let Some(value) = members.remove(old) {
            members.entry(new).or_insert(value);
        }
    }
    if let Some(method) = members.get_mut("method") {
        let legacy = LEGACY_METHODS.iter().find(|(old, _)| *method == *old);
        if let Some((_, new)) = legacy {
            *method = (*new).into();
        }
    }
}
