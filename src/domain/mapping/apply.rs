//! Maps one record: guards, then the rules of its native type, then what the rules that match do.

use std::cell::OnceCell;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Mapping,
    condition::Failed,
    facts::{Facts, Missing, OUTPUT_BYTES_MAX, RequestFacts, Scope},
    function::{sha256, text_of},
    gate::Gate,
    index,
    rule::{Action, Emission, Rule, RuleName},
    settings::Unmatched,
    subject::{copy, names_a_session},
    time::NativeTime,
    trace::{Outcome, RuleTrace},
};
use crate::domain::{event::PUBLISHER_ID_LENGTH_MAX, time::Timestamp};

/// The most values that a rule with `each` is applied to.
pub const ELEMENTS_MAX: usize = 1000;

/// The reason of a record that no rule takes.
pub const UNMATCHED: &str = "no rule takes it";

/// The results of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// The id that the sender gave the event, if the mapping says where it is.
    pub native_id: Option<String>,
    pub native_type: Option<String>,
    /// The time that the sender gave the event. `None` if the record has none that can be read, or no
    /// rule needed it.
    pub time: Option<Timestamp>,
    /// The time is more than [`super::FUTURE_MAX`] after the receipt, so the events have the time of the
    /// receipt.
    pub time_was_ahead: bool,
    /// At least one.
    pub results: Vec<MappedResult>,
}

/// The result of one rule for a record.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum MappedResult {
    Emit {
        rule: RuleName,
        /// The published form: `id`, `type`, `sub_id`, `event`, and further members.
        event: Value,
        /// A value that must have changed before the event goes out.
        #[serde(skip_serializing_if = "Option::is_none")]
        gate: Option<Gate>,
    },
    Dropped {
        /// Without a rule, none matched.
        rule: Option<RuleName>,
        why: String,
    },
    Rejected {
        rule: Option<RuleName>,
        /// The path whose value is missing.
        path: Option<String>,
        /// Never repeats a value of the record, so that it can be logged.
        why: String,
        /// An operator must be told.
        alarm: bool,
    },
}

impl Mapping {
    /// Returns the records of one body, in their order. An array at the top is a list of records
    /// unless `records` says otherwise. Nothing if the body lacks the place of the records.
    pub fn split<'a>(&self, body: &'a Value) -> Vec<&'a Value> {
        let nodes = self.records.as_ref().map_or_else(|| vec![body], |path| path.all(body));
        match nodes.as_slice() {
            [Value::Array(records)] => records.iter().collect(),
            _ => nodes,
        }
    }

    /// Returns the time that the sender gave a record, if it has one that can be read.
    pub fn time_of(&self, record: &Value) -> Option<Timestamp> {
        let request = RequestFacts::default();
        let facts = Facts::new(self, record, &request);
        Run::new(self, &facts, Timestamp::EPOCH).time().given
    }

    /// Maps one record. The result depends on nothing but the arguments.
    ///
    /// Time and memory are bounded by the size of the record and of the mapping: there are no loops
    /// but those over elements of the record, at most [`ELEMENTS_MAX`] for each rule, and the events
    /// have at most [`OUTPUT_BYTES_MAX`] bytes of values together.
    pub fn apply(&self, record: &Value, request: &RequestFacts, received: Timestamp) -> Mapped {
        let facts = Facts::new(self, record, request);
        Run::new(self, &facts, received).finish(None)
    }

    /// Maps one record like [`Self::apply`], and tells for each rule whether it matched, or which of
    /// its conditions failed first.
    pub fn apply_traced(
        &self,
        record: &Value,
        request: &RequestFacts,
        received: Timestamp,
    ) -> (Mapped, Vec<RuleTrace>) {
        let facts = Facts::new(self, record, request);
        let mut trace = Vec::new();
        let mapped = Run::new(self, &facts, received).finish(Some(&mut trace));
        (mapped, trace)
    }
}

/// One record on its way through the rules.
struct Run<'s, 'm> {
    mapping: &'m Mapping,
    facts: &'s Facts<'m>,
    received: Timestamp,
    native_id: OnceCell<Option<String>>,
    time: OnceCell<NativeTime>,
    results: Vec<MappedResult>,
}

/// The reason why a rule that matched gives no event.
struct Refusal {
    path: Option<String>,
    why: String,
}

impl From<Missing<'_>> for Refusal {
    fn from(missing: Missing<'_>) -> Self {
        Self { path: Some(missing.path.to_owned()), why: missing.text() }
    }
}

impl Refusal {
    fn new(why: impl Into<String>) -> Self {
        Self { path: None, why: why.into() }
    }

    fn of(self, rule: Option<&Rule>) -> MappedResult {
        let rule = rule.map(|rule| rule.name.clone());
        MappedResult::Rejected { rule, path: self.path, why: self.why, alarm: false }
    }
}

impl<'s, 'm: 's> Run<'s, 'm> {
    fn new(mapping: &'m Mapping, facts: &'s Facts<'m>, received: Timestamp) -> Self {
        let (native_id, time) = (OnceCell::new(), OnceCell::new());
        Self { mapping, facts, received, native_id, time, results: Vec::new() }
    }

    fn finish(mut self, mut trace: Option<&mut Vec<RuleTrace>>) -> Mapped {
        let mapping = self.mapping;
        let path = mapping.native_type.as_ref();
        let native_type = path.and_then(|path| path.first(self.facts.scope()));
        let reachable = mapping.index.of_type(native_type);
        let of_type = reachable.iter().map(|at| (&mapping.rules[*at], true));
        // A trace tells of all rules, those of other types among them. These are not tried, because a
        // document that they need may be missing from records of this type.
        let all = mapping.rules.iter().enumerate();
        let all = all.map(|(at, rule)| (rule, reachable.contains(&at)));
        let rules: Box<dyn Iterator<Item = _>> =
            if trace.is_some() { Box::new(all) } else { Box::new(of_type) };
        let guards = mapping.guards.iter().map(|rule| (rule, true));
        let mut ended = false;
        for (rule, is_of_type) in guards.chain(rules) {
            if ended {
                if let Some(trace) = trace.as_mut() {
                    trace.push(RuleTrace::new(rule, Outcome::NotReached));
                    continue;
                }
                break;
            }
            if !is_of_type {
                if let Some(trace) = trace.as_mut() {
                    let failed = Err(index::failed(rule, path));
                    trace.push(RuleTrace::new(rule, failed.into()));
                }
                continue;
            }
            let outcome = self.attempt(rule);
            if let Some(missing) = self.facts.fault() {
                self.results.push(Refusal::from(missing).of(None));
                ended = true;
            } else {
                ended = outcome.is_ok() && !rule.also;
            }
            if let Some(trace) = trace.as_mut() {
                trace.push(RuleTrace::new(rule, outcome.into()));
            }
        }
        if self.results.is_empty() {
            self.results.push(match mapping.unmatched {
                Unmatched::Drop => MappedResult::Dropped { rule: None, why: UNMATCHED.to_owned() },
                Unmatched::Reject => Refusal::new(UNMATCHED).of(None),
            });
        }
        let native_type = native_type.and_then(text_of).map(std::borrow::Cow::into_owned);
        let native_id = self.native_id().cloned();
        let time = self.time.into_inner();
        Mapped {
            native_id,
            native_type,
            time: time.and_then(|time| time.given),
            time_was_ahead: time.is_some_and(|time| time.is_ahead),
            results: self.results,
        }
    }

    /// Applies a rule to the record, or to each element. Returns whether it matched.
    fn attempt(&mut self, rule: &'m Rule) -> Result<(), Failed<'m>> {
        let facts = self.facts;
        let Some(path) = &rule.each else {
            let mut captures = vec![None; rule.captures];
            rule.conditions.capture(facts.scope(), &mut captures)?;
            if facts.fault().is_none() {
                self.act(rule, Scope { captures: &captures, ..facts.scope() }, None);
            }
            return Ok(());
        };
        let elements = path.elements(facts.scope());
        let mut outcome = Err(Failed { path: path.text(), test: "each" });
        if ELEMENTS_MAX < elements.len() {
            let why = format!("`{}` has more than {ELEMENTS_MAX} elements", path.text());
            let refusal = Refusal { path: Some(path.text().to_owned()), why };
            self.results.push(refusal.of(Some(rule)));
            return Ok(());
        }
        for (at, element) in elements.into_iter().enumerate() {
            let mut captures = vec![None; rule.captures];
            let scope = Scope { element: Some(element), ..facts.scope() };
            match rule.conditions.capture(scope, &mut captures) {
                Err(failed) if outcome.is_err() => outcome = Err(failed),
                Err(_) => {}
                Ok(()) => {
                    self.act(rule, Scope { captures: &captures, ..scope }, Some(at));
                    outcome = Ok(());
                    // The rejection of this element tells that there was no room for more.
                    if facts.is_full() {
                        break;
                    }
                }
            }
        }
        outcome
    }

    fn act(&mut self, rule: &'m Rule, scope: Scope<'_, 'm>, element: Option<usize>) {
        let name = || Some(rule.name.clone());
        let rejected = |why: &String, alarm| MappedResult::Rejected {
            rule: name(),
            path: None,
            why: why.clone(),
            alarm,
        };
        let result = match &rule.action {
            Action::Drop(why) => MappedResult::Dropped { rule: name(), why: why.clone() },
            Action::Reject(why) => rejected(why, false),
            Action::Alarm(why) => rejected(why, true),
            Action::Emit(emission) => match self.emit(rule, emission, scope, element) {
                Ok(result) => result,
                Err(refusal) => refusal.of(Some(rule)),
            },
        };
        self.results.push(result);
    }

    /// Builds the event of a rule that matched.
    fn emit(
        &self,
        rule: &'m Rule,
        emission: &'m Emission,
        scope: Scope<'_, 'm>,
        element: Option<usize>,
    ) -> Result<MappedResult, Refusal> {
        let emitted = emission.emit.value(scope)?;
        let mut types = emission.types.iter();
        let emitted = types.find(|one| one.is(&emitted)).ok_or_else(|| Refusal {
            path: Some(emission.emit.label().to_owned()),
            why: "`emit` gives a type that is not in `emits`".to_owned(),
        })?;
        let subject = emission.subject.build(scope)?;
        let user_wide = emitted.revokes && !names_a_session(&subject);
        if user_wide && !emission.user_wide && !self.mapping.user_wide {
            return Err(Refusal::new(
                "the record names no session, so the event would end all sessions of a user; say \
                 `scope = \"user\"` at the source to allow that",
            ));
        }
        let copied = emission.copy.as_ref().map(|path| copy(path, scope)).transpose()?;
        let mut members = copied.unwrap_or_default();
        for (name, value) in &emission.event {
            if let Some(value) = value.part(scope)? {
                self.take_room(&value)?;
                members.insert(name.clone(), value);
            }
        }
        let time = self.time();
        if emitted.stamped && !members.contains_key("event_timestamp") {
            members.insert("event_timestamp".to_owned(), time.or(self.received).as_secs().into());
        }
        let mut event = Map::new();
        event.insert("id".to_owned(), self.id(rule, emission, scope, element)?.into());
        event.insert("type".to_owned(), emitted.short_name.as_str().into());
        event.insert("sub_id".to_owned(), subject);
        let mut identifiers = Vec::new();
        for identifier in &emission.identifiers {
            identifiers.extend(identifier.build(scope)?);
        }
        if !identifiers.is_empty() {
            event.insert("subject_identifiers".to_owned(), identifiers.into());
        }
        event.insert("event".to_owned(), members.into());
        if let Some(txn) = emission.txn.as_ref().map(|txn| txn.part(scope)).transpose()?.flatten() {
            let txn = text_of(&txn).ok_or_else(|| Refusal::new("`txn` must be a text"))?;
            event.insert("txn".to_owned(), bounded(txn.into_owned()).into());
        }
        let gate = emission.on_change.as_ref().map(|gate| gate.build(scope)).transpose()?;
        let event = Value::Object(event);
        self.take_room(&event)?;
        Ok(MappedResult::Emit { rule: rule.name.clone(), event, gate })
    }

    fn take_room(&self, value: &Value) -> Result<(), Refusal> {
        if self.facts.take_room(value) {
            return Ok(());
        }
        let why = format!("the events of one record have more than {OUTPUT_BYTES_MAX} bytes");
        Err(Refusal::new(why))
    }

    /// Returns the idempotency key of an event: the one that the rule gives, or
    /// `<source>/<native id>/<rule>` with the position of the element behind it.
    fn id(
        &self,
        rule: &Rule,
        emission: &'m Emission,
        scope: Scope<'_, 'm>,
        element: Option<usize>,
    ) -> Result<String, Refusal> {
        if let Some(id) = emission.id.as_ref().map(|id| id.part(scope)).transpose()?.flatten() {
            let id = text_of(&id).ok_or_else(|| Refusal::new("`id` must be a text"))?;
            return Ok(bounded(id.into_owned()));
        }
        let native = self.native_id().cloned().unwrap_or_else(|| self.fingerprint());
        let source = &self.mapping.source;
        let element = element.map(|at| format!("/{at}")).unwrap_or_default();
        Ok(bounded(format!("{source}/{native}/{}{element}", rule.name)))
    }

    /// Stands for the native id of a record that has none. A sender that tries again sends the same
    /// record.
    fn fingerprint(&self) -> String {
        let query = self.facts.request.parameters();
        let text = serde_json::to_vec(&(self.facts.scope().record(false), query));
        format!("sha256-{}", sha256(&text.expect("values are JSON")))
    }

    fn native_id(&self) -> Option<&String> {
        let id = self.native_id.get_or_init(|| {
            let value = self.mapping.id.as_ref()?.value(self.facts.scope()).ok()?;
            text_of(&value).map(std::borrow::Cow::into_owned)
        });
        id.as_ref()
    }

    fn time(&self) -> NativeTime {
        *self.time.get_or_init(|| {
            let time = self.mapping.time.as_ref();
            let value = time.and_then(|(from, _)| from.value(self.facts.scope()).ok());
            let unit = time.map(|(_, unit)| *unit).unwrap_or_default();
            NativeTime::of(value.as_deref(), unit, self.received)
        })
    }
}

/// Shortens an id that publishers must not give an event, so that it stays the same for the same
/// happening.
fn bounded(id: String) -> String {
    if id.len() <= PUBLISHER_ID_LENGTH_MAX {
        id
    } else {
        format!("sha256-{}", sha256(id.as_bytes()))
    }
}
