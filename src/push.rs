//! Push delivery (RFC 8935): carries one signed SET at a time to the endpoint of its stream.
//!
//! - [`client::PushClient`] makes an attempt: it takes or opens a connection, sends the request and
//!   judges the response. It is the only type here that the couriers call.
//! - [`clients::PushClients`] holds one `PushClient` for each [`identity::PushIdentity`]. An identity says
//!   whom we trust, which client certificate we present and which version of HTTP we speak, so two
//!   streams with different identities never share a connection.
//! - `pool` holds the open connections of all clients, and bounds them in all and by host. `connection`
//!   is one of them, by HTTP/1.1 or HTTP/2.
//! - `dial` opens connections. `resolve` looks up names within bounds, and the `EndpointPolicy` of the
//!   domain keeps connections out of our own network. The policy is needed for security; every other
//!   deadline and bound here protects our own resources.
//! - `meter` is the socket of a connection: it bounds the bytes that arrive for an attempt, and can be
//!   closed from outside.
//! - `head` watches the head of a response on its way to hyper, which refuses some heads that have a status.
//! - `request` is the request of an attempt. `response`, `failure` and `retry_after` turn responses and
//!   errors into an `Outcome`.
//!
//! ```text
//! PushClients ──identity──▶ PushClient ──▶ Pool ──▶ Dialer ──▶ Resolver, EndpointPolicy, TCP, TLS
//!                                           │
//!                                           └──▶ Connection ──▶ Metered socket
//! ```

pub mod client;
pub mod clients;
pub mod identity;
pub mod settings;
pub mod tls;

mod connection;
mod dial;
mod failure;
mod head;
mod meter;
mod pool;
mod request;
mod resolve;
mod response;
pub mod retry_after;

/// The name of this daemon in its requests, so that a Receiver can tell whose they are.
pub const USER_AGENT: &str = concat!("ssfd/", env!("CARGO_PKG_VERSION"));
