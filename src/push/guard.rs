//! Keeps connections out of our own network: the resolver that judges the addresses of a name.

use std::{
    error::Error,
    net::SocketAddr,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::domain::endpoint_policy::{EndpointPolicy, EndpointRefused};

/// Looks up a name and drops every address that must not be dialled. Each connection looks up its
/// name again, because a name that was harmless when its stream was created may point elsewhere now.
#[derive(Debug, Clone)]
pub(super) struct GuardedResolver(pub(super) EndpointPolicy);

impl Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.0.clone();
        Box::pin(async move {
            // The connector replaces the port.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let (permitted, refused): (Vec<_>, Vec<_>) =
                found?.partition(|address| policy.permits(address.ip()));
            match refused.first() {
                Some(address) if permitted.is_empty() => {
                    Err(EndpointRefused::Address(address.ip()).into())
                }
                _ => Ok(permitted.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;

    #[tokio::test]
    async fn a_name_that_points_into_our_network_is_refused() {
        let resolve = |networks: Vec<IpNet>| {
            let name = "localhost".parse().expect("a name");
            GuardedResolver(EndpointPolicy::new(networks, Vec::new(), Vec::new())).call(name)
        };
        let refused = resolve(Vec::new()).await.expect_err("loopback");
        assert!(refused.is::<EndpointRefused>());
        let loopback = ["127.0.0.0/8", "::1/128"].map(|n| n.parse().expect("a network"));
        assert!(resolve(loopback.to_vec()).await.is_ok_and(|mut found| found.next().is_some()));
    }
}
