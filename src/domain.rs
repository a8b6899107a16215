//! What SSF means: values and rules. No async, no IO, no clock, no randomness.

pub mod audience;
pub mod client;
pub mod event;
pub mod event_type;
pub mod grant;
pub mod id;
pub mod issuer;
pub mod lint;
pub mod metadata;
pub mod oauth;
pub mod opt_out;
pub mod pace;
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
pub mod verification;
