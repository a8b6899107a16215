//! Makes the decisions about a request durable, in an order in which a repetition completes them.

use std::sync::Arc;

use serde::Serialize;

use super::{
    Source, SourceError,
    prepare::{Emitted, Prepared, Way},
    rejects::Reject,
};
use crate::{
    clock,
    domain::{set::Origin, time::Timestamp},
    store::Appended,
    telemetry::metrics,
    transmitter::intake::Incoming,
};

/// How many records of a request came to what. One record may give several events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    pub accepted: usize,
    /// Their id was accepted before.
    pub duplicate: usize,
    pub held: usize,
    pub observed: usize,
    /// By a rule, or because no rule takes them, or because nothing has changed.
    pub dropped: usize,
    pub rejected: usize,
}

/// The values of the label `outcome` of records.
pub(super) const OUTCOMES: [&str; 11] = [
    "accepted",
    "duplicate",
    "held",
    "released",
    "observed",
    "dropped",
    "control",
    "unchanged",
    "rejected",
    "alarm",
    "time_ahead",
];

impl Source {
    /// Publishes, holds and keeps. `origin` names each event that is published.
    ///
    /// The events come first. Values of gates are written once the events are durable, because a value that
    /// is there without its event would keep the repeated event back.
    pub(super) async fn conclude(
        self: &Arc<Self>,
        prepared: Prepared,
        origin: impl Fn(&Emitted) -> Origin,
        now: Timestamp,
    ) -> Result<Counts, SourceError> {
        let Prepared {
            publish,
            hold,
            rejects,
            way,
            gates,
            turn: _until_the_end,
            dropped,
            unchanged,
            observed,
        } = prepared;
        let mut counts = Counts {
            held: hold.len(),
            observed,
            dropped: dropped + unchanged,
            rejected: rejects.len(),
            ..Counts::default()
        };
        let outcomes = [
            ("dropped", dropped),
            ("unchanged", unchanged),
            ("observed", observed),
            ("held", hold.len()),
            ("rejected", rejects.iter().filter(|reject| !reject.alarm).count()),
            ("alarm", rejects.iter().filter(|reject| reject.alarm).count()),
        ];
        self.count_rules(&publish, &rejects);
        let taken = publish.len();
        let published = match self.publish(publish, origin).await {
            Ok(published) => published,
            Err(error) => {
                // The request comes again.
                self.give_back(taken, way);
                self.doubt_held();
                return Err(error);
            }
        };
        for appended in published {
            match appended {
                Appended::New(_) | Appended::OptedOut { .. } => counts.accepted += 1,
                Appended::Duplicate => counts.duplicate += 1,
            }
        }
        // A sender that repeats a request uses up no event of the minute.
        self.give_back(counts.duplicate, way);
        if let Err(error) = self.hold(hold, now).await {
            self.doubt_held();
            return Err(error.into());
        }
        if let Some(gates) = gates {
            let of = (&self.parts.provider.name, &self.parts.name);
            let retention = self.parts.bounds.gate_retention;
            gates.write(&*self.services.store, of, retention, now).await?;
        }
        self.keep_rejects(rejects, now).await?;
        self.count_record("accepted", counts.accepted);
        self.count_record("duplicate", counts.duplicate);
        for (outcome, count) in outcomes {
            self.count_record(outcome, count);
        }
        Ok(counts)
    }

    async fn publish(
        self: &Arc<Self>,
        events: Vec<Emitted>,
        origin: impl Fn(&Emitted) -> Origin,
    ) -> Result<Vec<Appended>, SourceError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let incoming = events.into_iter().map(|emitted| Incoming {
            origin: origin(&emitted),
            event: emitted.event,
            id_kept_longer: self.id_kept_longer(),
        });
        let incoming = incoming.collect();
        Ok(self.services.transmitter.publish(&self.parts.provider, incoming).await?)
    }

    /// Returns an origin for an event that came by HTTP.
    pub(super) fn drawn(_: &Emitted) -> Origin {
        Origin::drawn(clock::random_uuid(), clock::now())
    }

    /// Takes events out of the minute, if they count.
    fn give_back(&self, events: usize, way: Way) {
        if way == Way::Sent {
            self.cap().give_back(u32::try_from(events).unwrap_or(u32::MAX));
        }
    }

    pub(super) fn count_record(&self, outcome: &'static str, count: usize) {
        if count != 0 {
            let (provider, source) = (&self.parts.provider.name, self.parts.name.as_str());
            metrics::source_records(provider, source, outcome, count);
        }
    }

    /// Counts by rule. A mapping has a bounded number of rules.
    fn count_rules(&self, publish: &[Emitted], rejects: &[Reject]) {
        let (provider, source) = (&self.parts.provider.name, self.parts.name.as_str());
        for emitted in publish {
            metrics::source_rule(provider, source, &emitted.rule, "emitted");
        }
        for rule in rejects.iter().filter_map(|reject| reject.rule.as_deref()) {
            metrics::source_rule(provider, source, rule, "rejected");
        }
    }
}
