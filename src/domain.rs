//! The values and rules of SSF. No async, no IO, no clock, no randomness: the time and random
//! numbers are arguments.
//!
//! A value that exists is valid, because its constructor checks it.
//!
//! - Who takes part: [`provider`] (one issuer with its own keys and limits, named by [`issuer`]),
//!   [`stream`] (the agreement with a Receiver) with its [`status`], [`audience`] and
//!   [`verification`], [`endpoint_policy`] (where SETs may be sent).
//! - What happened: [`event`] (as a publisher sends it) with its [`payload`], [`event_type`],
//!   [`subject`] (whom the event is about). [`schema`] holds the tables of the specifications and [`lint`] compares an
//!   event with them. [`token_revoked`] makes session-revoked events of revoked tokens. [`opt_out`] is the
//!   choice of an account in RISC. [`mapping`] makes events of what identity providers send.
//! - How devices stand: [`posture`], the rules that a device has to meet, the status that follows, and
//!   the challenge and the answer by which its agent proves who it is.
//! - What is sent: [`set`] (the claims and the identifiers of a SET), [`set_error`] (the refusal of
//!   a Receiver).
//! - Who may ask: [`grant`] (a bearer token and what it allows), [`client`] (a client of the
//!   built-in token endpoint), [`secret`], [`pace`] (how often something may be asked for).
//! - What is published: [`metadata`] and [`oauth`], the discovery documents.
//! - What all of the others use: [`id`] and [`time`], and [`json`], which reads the texts of strangers.

pub mod audience;
pub mod client;
pub mod endpoint_policy;
mod endpoint_url;
pub mod event;
pub mod event_type;
pub mod grant;
pub mod id;
pub mod issuer;
pub mod json;
pub mod judgement;
pub mod lint;
pub mod mapping;
pub mod metadata;
pub mod oauth;
pub mod opt_out;
pub mod pace;
pub mod payload;
pub mod posture;
pub mod provider;
pub mod reason;
pub mod schema;
pub mod secret;
pub mod set;
pub mod set_error;
pub mod status;
pub mod stream;
pub mod subject;
pub mod time;
pub mod token_revoked;
pub mod verification;
