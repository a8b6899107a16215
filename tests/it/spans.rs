//! The way of an event, as a subscriber of `tracing` sees it.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use serde_json::json;
use ssfd::telemetry::spans;
use tracing::{
    Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::harness::{events::about_with, eventually, receiver::Receiver, setup::Setup};

/// The fields of a span, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Fields(BTreeMap<&'static str, String>);

/// A span that has closed: its name and its fields.
type Closed = (&'static str, Fields);

/// Collects the spans of all daemons of this process, once they have closed.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Closed>>>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).expect("a new span").extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).expect("an open span");
        let mut extensions = span.extensions_mut();
        values.record(extensions.get_mut::<Fields>().expect("every span has fields"));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).expect("a span that closes");
        let fields = span.extensions_mut().remove().expect("every span has fields");
        self.0.lock().expect("not poisoned").push((span.name(), fields));
    }
}

impl Collector {
    /// Returns the closed spans with this `txn`, sorted by name.
    fn with_txn(&self, txn: &str) -> Vec<Closed> {
        let closed = self.0.lock().expect("not poisoned");
        let mut found: Vec<_> = closed
            .iter()
            .filter(|(_, fields)| fields.0.get("txn").is_some_and(|other| other == txn))
            .cloned()
            .collect();
        found.sort_by_key(|(name, _)| *name);
        found
    }
}

#[actix_web::test]
async fn an_event_passes_a_span_for_each_step_up_to_the_record_of_its_delivery() {
    const TXN: &str = "txn-of-the-spans";
    let collector = Collector::default();
    let spans = Targets::new().with_target(spans::TARGET, Level::TRACE);
    tracing_subscriber::registry().with(collector.clone().with_filter(spans)).init();

    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    let event = about_with("s-88", json!({"txn": TXN}));
    setup.daemon.publish(&setup.publisher, &event).await.expect(202);
    let set = receiver.next().await;
    eventually("the last span closes", async || {
        collector.with_txn(TXN).iter().any(|(name, _)| *name == "settle")
    })
    .await;

    let closed = collector.with_txn(TXN);
    let names: Vec<_> = closed.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["admit", "append", "push", "read", "settle", "sign"]);
    for (name, Fields(fields)) in &closed {
        let field = |name: &str| fields.get(name).map(String::as_str);
        if *name == "admit" {
            assert_eq!(field("provider"), Some(setup.daemon.provider()));
        } else {
            assert_eq!(field("stream_id"), Some(setup.stream.as_str()), "{name}");
            assert_eq!(field("jti"), Some(set.jti().as_str()), "{name}");
        }
    }
}
