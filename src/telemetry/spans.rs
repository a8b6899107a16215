//! The spans of an event's way, each named here and nowhere else.
//!
//! | span | from | to |
//! |---|---|---|
//! | `admit` | an event arrives | it is parsed and checked |
//! | `append` | its SETs go to the store | they are durable |
//! | `read` | a SET was read from its outbox | at once; `took` says how long the store needed |
//! | `sign` | claims go to the signer | the signature is made |
//! | `push` | an attempt begins | its outcome is known |
//! | `settle` | a result goes to the store | the result is recorded |
//!
//! Each step of each SET has a span of its own, with the fields `stream_id`, `jti` and `txn`, also where
//! many SETs take a step together. So one `jti` or one `txn` finds the whole way. An event that is admitted
//! has no stream and no `jti` yet, and the acknowledgement of a poll names no `txn`.
//!
//! A span is opened only if a subscriber wants [`TARGET`] at the level `trace`. If none does, a step costs
//! one comparison with the most verbose level that anybody wants, and looks at no SET.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tracing::{Level, Span, field::Empty};

use crate::{
    clock,
    delivery::outbox::{NewSet, PendingSet},
    domain::id::{Jti, ProviderName, StreamId},
};

/// The target of all spans.
pub const TARGET: &str = "ssfd::spans";

/// The open spans of the SETs that take a step together. They close when this is dropped.
#[must_use = "the spans close when this is dropped"]
#[derive(Debug, Default)]
pub struct SetSpans {
    /// Empty if nobody listens, and then without memory of its own.
    open: Vec<Span>,
}

/// A SET, as its spans name it.
#[derive(Debug, Clone, Copy)]
pub struct SetFields<'a> {
    pub stream_id: &'a StreamId,
    pub jti: &'a Jti,
    /// The `txn` is taken from the claims, if there is one, and only if somebody listens.
    pub claims: &'a str,
}

/// The span of an event that is being admitted.
#[must_use = "the span closes when this is dropped"]
#[derive(Debug)]
pub struct AdmitSpan(Span);

/// When a step began, if somebody listens.
#[derive(Debug, Clone, Copy)]
pub struct Began(Option<Instant>);

/// Defines the function that opens the spans of one step.
macro_rules! step {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name<'a>(sets: impl IntoIterator<Item = SetFields<'a>>) -> SetSpans {
            if !is_listened_to() {
                return SetSpans::default();
            }
            let open = |set: SetFields<'_>| {
                tracing::trace_span!(
                    target: TARGET,
                    parent: None,
                    stringify!($name),
                    stream_id = %set.stream_id,
                    jti = %set.jti,
                    txn = txn(set.claims).as_deref(),
                )
            };
            SetSpans { open: sets.into_iter().map(open).collect() }
        }
    };
}

step! {
    /// Opens the spans of SETs that go to the store.
    append
}
step! {
    /// Opens the spans of SETs that go to the signer.
    sign
}
step! {
    /// Opens the spans of SETs that an attempt carries.
    push
}
step! {
    /// Opens the spans of SETs whose results go to the store.
    settle
}

/// Opens the span of an event that arrives. Its `txn` is recorded once the event is parsed.
pub fn admit(provider: &ProviderName) -> AdmitSpan {
    AdmitSpan(tracing::trace_span!(target: TARGET, parent: None, "admit", %provider, txn = Empty))
}

/// Notes when a read begins.
pub fn begin() -> Began {
    Began(is_listened_to().then(clock::instant))
}

/// Opens and closes the spans of SETs that were read. Before the read it was not known which SETs they
/// would be.
pub fn read<'a>(sets: impl IntoIterator<Item = SetFields<'a>>, began: Began) {
    let Some(began) = began.0 else { return };
    let took: Duration = clock::instant().saturating_duration_since(began);
    for set in sets {
        drop(tracing::trace_span!(
            target: TARGET,
            parent: None,
            "read",
            stream_id = %set.stream_id,
            jti = %set.jti,
            txn = txn(set.claims).as_deref(),
            ?took,
        ));
    }
}

/// Returns whether any subscriber wants the spans.
fn is_listened_to() -> bool {
    tracing::span_enabled!(target: TARGET, Level::TRACE)
}

fn txn(claims: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Claims<'a> {
        #[serde(borrow)]
        txn: Option<Cow<'a, str>>,
    }
    // Claims that were put into the store by other means may lack the rest of a SET.
    serde_json::from_str::<Claims<'_>>(claims).ok()?.txn
}

impl SetSpans {
    /// Closes the spans now.
    pub fn close(self) {
        drop(self.open);
    }
}

impl AdmitSpan {
    pub fn record_txn(&self, txn: Option<&str>) {
        if let Some(txn) = txn.filter(|_| !self.0.is_disabled()) {
            self.0.record("txn", txn);
        }
    }
}

impl<'a> From<&'a NewSet> for SetFields<'a> {
    fn from(set: &'a NewSet) -> Self {
        Self { stream_id: &set.stream, jti: &set.jti, claims: &set.claims }
    }
}

impl<'a> SetFields<'a> {
    pub fn pending(stream_id: &'a StreamId, set: &'a PendingSet) -> Self {
        Self { stream_id, jti: &set.jti, claims: &set.claims }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SETs that nobody may look at.
    fn hidden<'a>() -> impl Iterator<Item = SetFields<'a>> {
        std::iter::once_with(|| panic!("a SET was looked at"))
    }

    #[test]
    fn no_set_is_looked_at_if_nobody_listens() {
        let spans = [append(hidden()), sign(hidden()), push(hidden()), settle(hidden())];
        assert!(spans.iter().all(|spans| spans.open.capacity() == 0));
        read(hidden(), begin());
        assert!(admit(&"acme".parse().expect("a name")).0.is_disabled());
    }

    #[test]
    fn the_txn_is_found_in_the_claims() {
        assert_eq!(txn(r#"{"iss":"a","txn":"c-991","events":{}}"#).as_deref(), Some("c-991"));
        assert_eq!(txn(r#"{"txn":"a\"b"}"#).as_deref(), Some("a\"b"));
        for claims in [r#"{"iss":"a"}"#, r#"{"txn":null}"#, r#"{"txn":7}"#, "no JSON"] {
            assert_eq!(txn(claims), None, "{claims}");
        }
    }
}
