//! Turns native records of identity providers into events, by rules that are data.
//!
//! [`MappingSettings`] is a mapping as it is written. [`Mapping::compile`] checks it and makes the
//! [`Mapping`], and [`Mapping::apply`] maps one record to [`MappedResult`]s. [`Preset`] is a mapping for
//! a known sender that is part of the binary.
//!
//! ```text
//! body ─ split ─▶ record ─ apply ─▶ guards ─▶ rules of its type ─▶ Emit │ Dropped │ Rejected
//!                                      │            │
//!                                 `condition`   `rule`: `subject`, `value` ◀ `template` ◀ `path`
//! ```
//!
//! - To find: `path` (with `query` for JSONPath), `decode` (documents inside a record), `facts`
//!   (what paths can reach), `time`.
//! - To make: `value`, `template`, `function`, `table`, `subject`, `gate`.
//! - To decide: `condition`, `rule`, `index` (finds rules by native type; only saves work),
//!   `trace` (tells what each rule made of a record).
//! - To check before any record is there: `compile`, `names`, `lint` (events against their
//!   definitions), `order` (rules that can never match).
//!
//! A mapping is total: it has no loops, no recursion and no state, and every list, text and depth is
//! bounded by a constant of these modules. A record gives the same result each time.

mod apply;
mod compile;
mod condition;
mod decode;
mod error;
mod example;
mod facts;
mod function;
mod gate;
mod index;
mod lint;
mod names;
mod order;
mod path;
pub mod preset;
mod query;
mod rule;
mod settings;
mod subject;
mod table;
mod template;
mod time;
mod trace;
mod value;

use std::collections::BTreeSet;

pub use self::{
    apply::{ELEMENTS_MAX, Mapped, MappedResult, UNMATCHED},
    compile::{LETS_MAX, RULES_MAX},
    condition::{CONDITIONS_MAX, MATCHED_BYTES_MAX, VALUES_MAX},
    decode::DECODES_MAX,
    error::MappingError,
    example::{Example, Expected, ExpectedGate},
    facts::{OUTPUT_BYTES_MAX, RequestFacts, TEXT_BYTES_MAX},
    function::FUNCTIONS_MAX,
    gate::{First, Gate},
    path::{PATH_BYTES_MAX, QUERIES_MAX},
    preset::Preset,
    rule::RuleName,
    settings::{
        DecodeSettings, Encoding, MapSettings, MappingSettings, OnChangeSettings, RuleSettings,
        Scope, TimeSettings, TimeUnit, Unmatched, VarSettings,
    },
    table::ENTRIES_MAX,
    template::{HOLES_MAX, TEMPLATE_BYTES_MAX},
    time::FUTURE_MAX,
    trace::{Outcome, RuleTrace},
    value::{ALTERNATIVES_MAX, VALUE_DEPTH_MAX},
};
use self::{
    decode::Decode,
    index::Index,
    path::{Local, Path},
    rule::Rule,
    value::Expr,
};
use super::event_type::EventType;

/// The compiled mapping of one source.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The name of the source.
    source: String,
    records: Option<Local>,
    native_type: Option<Path>,
    id: Option<Expr>,
    time: Option<(Expr, TimeUnit)>,
    decode: Vec<Decode>,
    /// Named values. Each uses only those before it.
    lets: Vec<Expr>,
    guards: Vec<Rule>,
    rules: Vec<Rule>,
    index: Index,
    unmatched: Unmatched,
    /// The source allows events that end all sessions of a user.
    user_wide: bool,
}

impl Mapping {
    /// Returns the event types that the active rules can emit.
    pub fn emits(&self) -> BTreeSet<EventType> {
        let emissions = self.rules.iter().filter_map(Rule::emission);
        let types = emissions.flat_map(|emission| &emission.types);
        types.map(|emitted| emitted.event_type.clone()).collect()
    }

    /// Returns the names of the active guards and rules, in the order in which they are tried.
    pub fn rules(&self) -> impl Iterator<Item = &RuleName> {
        self.guards.iter().chain(&self.rules).map(|rule| &rule.name)
    }

    /// Tells whether the mapping says where the time of a record is.
    pub fn tells_time(&self) -> bool {
        self.time.is_some()
    }

    /// Makes a mapping without rules.
    #[cfg(test)]
    fn empty() -> Self {
        let settings = MappingSettings::default();
        Self::compile(None, &settings, "test", &[]).expect("nothing can be wrong")
    }
}

#[cfg(test)]
mod tests;
