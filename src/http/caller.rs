//! The address of a caller, and the rates that bound how often one may ask.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header},
    middleware::Next,
    web,
};
use ipnet::IpNet;

use crate::{
    auth::{Authenticator, rates::ReceiverKey},
    http::{
        error::ApiError,
        unread::{CountedAnswer, UnreadBytes},
    },
};

/// The header in which a proxy names the addresses that a request came through.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of proxies whose [`FORWARDED_FOR`] is believed.
pub(super) struct TrustedProxies(pub(super) Vec<IpNet>);

/// Returns the address of the caller. Behind proxies that are trusted, it is the last address in
/// `X-Forwarded-For` that is not one of theirs, because whatever stands before it may be made up.
pub(super) fn address(request: &HttpRequest) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let Some(trusted) = request.app_data::<TrustedProxies>() else { return peer };
    let lists = request.headers().get_all(FORWARDED_FOR);
    let lists: Vec<&str> = lists.filter_map(|list| list.to_str().ok()).collect();
    trusted.caller(peer, &lists)
}

impl TrustedProxies {
    /// `lists` are the values of the header, from the first to the last.
    fn caller(&self, peer: IpAddr, lists: &[&str]) -> IpAddr {
        let mut caller = peer.to_canonical();
        let mut before = lists.iter().rev().flat_map(|list| list.rsplit(','));
        while self.0.iter().any(|network| network.contains(&caller)) {
            match before.next().map(|address| address.trim().parse::<IpAddr>()) {
                Some(Ok(address)) => caller = address.to_canonical(),
                // A proxy that writes something else here is not understood, so it is the caller.
                Some(Err(_)) | None => break,
            }
        }
        caller
    }
}

/// Bounds how often a caller may ask. A request without a credential counts for its address. A request
/// with one is counted where the credential is judged. A Receiver that asks again and again for what
/// does not exist has to wait for its answers, and the answers to a Receiver are counted until it has read
/// them.
pub(super) async fn limit<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<CountedAnswer, B>>, Error> {
    let authenticator = request.app_data::<web::Data<Authenticator>>();
    let authenticator = authenticator.expect("every listener provides its services").clone();
    if !request.headers().contains_key(header::AUTHORIZATION) {
        let admitted = authenticator.rates().admit_anonymous(address(request.request()));
        admitted.map_err(ApiError::from)?;
    }
    let unread = request.app_data::<web::Data<UnreadBytes>>();
    let unread = unread.expect("every listener provides its services").clone();
    let response = next.call(request).await?;
    let receiver = response.request().extensions().get::<ReceiverKey>().cloned();
    let Some(receiver) = receiver else { return Ok(response.map_into_right_body()) };
    if response.status() == StatusCode::NOT_FOUND {
        let held = authenticator.rates().hold_absent(&receiver).await;
        held.map_err(ApiError::from)?;
    }
    Ok(unread.count(receiver, response))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(trusted: &[&str], peer: &str, lists: &[&str], expected: &str) {
        let trusted = trusted.iter().map(|network| network.parse().expect("a network")).collect();
        let address = |raw: &str| raw.parse::<IpAddr>().expect("an address");
        let found = TrustedProxies(trusted).caller(address(peer), lists);
        assert_eq!(found, address(expected), "{peer} {lists:?}");
    }

    #[test]
    fn only_trusted_proxies_name_the_caller() {
        let ours = ["10.0.0.0/8", "::1/128"];
        check(&[], "10.0.0.1", &["192.0.2.7"], "10.0.0.1");
        check(&ours, "192.0.2.1", &["192.0.2.7"], "192.0.2.1");
        check(&ours, "10.0.0.1", &["192.0.2.7"], "192.0.2.7");
        check(&ours, "::ffff:10.0.0.1", &["192.0.2.7"], "192.0.2.7");
        check(&ours, "::1", &["2001:db8::7"], "2001:db8::7");
        check(&ours, "10.0.0.1", &[], "10.0.0.1");
    }

    #[test]
    fn a_caller_cannot_make_up_its_address() {
        let ours = ["10.0.0.0/8"];
        check(&ours, "10.0.0.1", &["198.51.100.9, 192.0.2.7"], "192.0.2.7");
        check(&ours, "10.0.0.1", &["198.51.100.9", "192.0.2.7"], "192.0.2.7");
        check(&ours, "10.0.0.1", &["192.0.2.7, 10.0.0.2"], "192.0.2.7");
        check(&ours, "10.0.0.1", &["192.0.2.7, nonsense"], "10.0.0.1");
        check(&ours, "10.0.0.1", &["nonsense, 192.0.2.7"], "192.0.2.7");
        check(&ours, "10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    }
}
