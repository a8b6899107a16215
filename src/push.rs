//! Push delivery (RFC 8935): carries one signed SET at a time to the endpoint of its stream.
//!
//! - [`client::PushClient`] makes an attempt: it opens or reuses a connection, sends the request and
//!   judges the response. It is the only type here that the couriers call.
//! - [`clients::PushClients`] holds one `PushClient` for each [`identity::PushIdentity`]. An identity says
//!   whom we trust, which client certificate we present and which version of HTTP we speak, so two
//!   streams with different identities never share a connection.
//! - `dial` opens connections. It asks the `EndpointPolicy` of the domain, which keeps connections out
//!   of our own network, and `guard` asks it about every address of a name. The policy is needed for security; every other deadline and bound here protects our own resources.
//! - `connection` tells the pool whether a connection has carried a response before.
//! - `failure` and `retry_after` turn errors and headers into an `Outcome`.
//!
//! ```text
//! PushClients ──identity──▶ PushClient ──▶ pool ──▶ Dialer ──▶ EndpointPolicy, TCP, TLS
//! ```

pub mod client;
pub mod clients;
pub mod identity;
pub mod settings;
pub mod tls;

mod connection;
mod dial;
mod failure;
mod guard;
mod retry_after;
