//! The names that are known while a mapping is compiled.

use std::{cell::Cell, collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    error::Flaw,
    path::{Local, QUERIES_MAX, Step},
    table::Table,
};

pub(super) struct Names<'a> {
    pub(super) vars: &'a BTreeMap<String, Value>,
    /// The named values that are compiled already, in the order in which they are numbered.
    pub(super) lets: Vec<String>,
    pub(super) maps: &'a BTreeMap<String, Arc<Table>>,
    /// Where documents are decoded.
    pub(super) decoded: &'a [Vec<Step>],
    /// The groups of the regular expressions of the rule.
    pub(super) captures: Vec<String>,
    /// Whether the rule has `each`.
    pub(super) each: bool,
    /// How many JSONPath queries the mapping has so far.
    pub(super) queries: Cell<usize>,
}

impl Names<'_> {
    /// Counts a query, because the cost of each grows with the record.
    pub(super) fn count(&self, at: &Local) -> Result<(), Flaw> {
        if matches!(at, Local::Steps(_)) {
            return Ok(());
        }
        self.queries.set(self.queries.get() + 1);
        if QUERIES_MAX < self.queries.get() {
            return Err(Flaw::new(format!(
                "is one of more than {QUERIES_MAX} JSONPath queries; write a JSON Pointer where one \
                 is enough, and give a query that several rules need a name in `let`"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
impl Names<'static> {
    /// No names at all.
    pub(super) fn none() -> Self {
        static VARS: BTreeMap<String, Value> = BTreeMap::new();
        static MAPS: BTreeMap<String, Arc<Table>> = BTreeMap::new();
        Self {
            vars: &VARS,
            lets: Vec::new(),
            maps: &MAPS,
            decoded: &[],
            captures: Vec::new(),
            each: false,
            queries: Cell::new(0),
        }
    }
}
