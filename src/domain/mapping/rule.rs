//! Rules: conditions and one action.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    condition::Conditions,
    error::Flaw,
    gate::OnChange,
    names::Names,
    path::Path,
    settings::{RuleSettings, Scope},
    subject::{Form, Part},
    value::Expr,
};
use crate::domain::{event_type::EventType, schema::Member};

/// The longest name of a rule, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The name of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleName(Arc<str>);

impl RuleName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn new(name: &str) -> Result<Self, Flaw> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain);
        if fits {
            return Ok(Self(name.into()));
        }
        let rule = format!("must be 1 to {NAME_BYTES_MAX} characters out of A-Z a-z 0-9 - . _");
        Err(Flaw::at("name", rule))
    }
}

impl Serialize for RuleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A compiled rule.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) name: RuleName,
    pub(super) conditions: Conditions,
    /// The number of values that the conditions capture.
    pub(super) captures: usize,
    pub(super) each: Option<Path>,
    pub(super) action: Action,
    /// The rules behind this one are tried too.
    pub(super) also: bool,
    /// The rule comes from a preset, so a rule of the source may stand before it and hide it.
    pub(super) of_preset: bool,
    /// The rule is often not active, so a later rule may take the same records.
    pub(super) opt_in: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Emit(Box<Emission>),
    Drop(String),
    Reject(String),
    Alarm(String),
}

/// The event of a rule.
#[derive(Debug, Clone)]
pub(super) struct Emission {
    /// The type, as one of the texts in `types`.
    pub(super) emit: Expr,
    pub(super) types: Vec<EmittedType>,
    pub(super) subject: Form,
    pub(super) identifiers: Vec<Part>,
    /// The path of an object whose members come first.
    pub(super) copy: Option<Path>,
    pub(super) event: Vec<(String, Expr)>,
    pub(super) id: Option<Expr>,
    pub(super) txn: Option<Expr>,
    pub(super) on_change: Option<OnChange>,
    /// The rule says that it ends all sessions of a user.
    pub(super) user_wide: bool,
}

/// One event type that a rule may emit.
#[derive(Debug, Clone)]
pub(super) struct EmittedType {
    /// The type as the rule writes it.
    written: String,
    pub(super) event_type: EventType,
    pub(super) short_name: String,
    /// The type has `event_timestamp`.
    pub(super) stamped: bool,
    /// The event ends sessions.
    pub(super) revokes: bool,
}

impl EmittedType {
    fn compile(written: &str) -> Result<Self, Flaw> {
        let event_type: EventType = written
            .parse()
            .map_err(|error| Flaw::at("emit", format!("`{written}` is no event type: {error}")))?;
        if event_type.is_control() {
            let rule = format!(
                "`{written}` is issued by the Transmitter alone (SSF §8.1.4, §8.1.5); emit a type \
                 of CAEP or RISC"
            );
            return Err(Flaw::at("emit", rule));
        }
        let mut members = event_type
            .definition()
            .into_iter()
            .flat_map(|(family, schema)| family.common.iter().chain(schema.members));
        // The provider may make a session-revoked of a revoked token.
        let may_become = event_type.is_token_revoked();
        let stamped = members.any(|member: &Member| member.name == "event_timestamp") || may_become;
        let short_name = event_type.short_name();
        let ends = ["caep:session-revoked", "risc:sessions-revoked"].contains(&&*short_name);
        let revokes = ends || may_become;
        Ok(Self { written: written.to_owned(), event_type, short_name, stamped, revokes })
    }

    /// Tells whether this is the type that a value names.
    pub(super) fn is(&self, value: &Value) -> bool {
        let uri = || self.event_type.as_str();
        value.as_str().is_some_and(|text| text == self.written || text == uri())
    }
}

impl Rule {
    /// Reads a rule as it is written, whether it is active or not.
    pub(super) fn compile(
        settings: &RuleSettings,
        of_preset: bool,
        names: &mut Names<'_>,
    ) -> Result<Self, Flaw> {
        let name = RuleName::new(&settings.name)?;
        names.captures = Vec::new();
        names.each = false;
        let each = settings.each.as_ref().map(|path| Path::compile(path, names)).transpose()?;
        names.each = each.is_some();
        let RuleSettings { when, unless, any, .. } = settings;
        let conditions = Conditions::of_rule(when, unless, any, names)?;
        let action = Self::action(settings, names)?;
        let captures = names.captures.len();
        let RuleSettings { also, opt_in, .. } = *settings;
        Ok(Self { name, conditions, captures, each, action, also, of_preset, opt_in })
    }

    fn action(settings: &RuleSettings, names: &Names<'_>) -> Result<Action, Flaw> {
        let RuleSettings { emit, drop, reject, alarm, .. } = settings;
        let action = match (emit, drop, reject, alarm) {
            (Some(emit), None, None, None) => {
                let emission = Emission::compile(emit, settings, names)?;
                return Ok(Action::Emit(Box::new(emission)));
            }
            (None, Some(why), None, None) => Action::Drop(why.clone()),
            (None, None, Some(why), None) => Action::Reject(why.clone()),
            (None, None, None, Some(why)) => Action::Alarm(why.clone()),
            _ => {
                return Err(Flaw::new(
                    "must have exactly one action: `emit`, `drop`, `reject` or `alarm`",
                ));
            }
        };
        let of_events = [
            ("subject", settings.subject.is_some()),
            ("subject_identifiers", !settings.subject_identifiers.is_empty()),
            ("event", !settings.event.is_empty()),
            ("emits", !settings.emits.is_empty()),
            ("id", settings.id.is_some()),
            ("txn", settings.txn.is_some()),
            ("scope", settings.scope.is_some()),
            ("opt_in", settings.opt_in),
            ("on_change", settings.on_change.is_some()),
        ];
        match of_events.into_iter().find(|(_, given)| *given) {
            Some((member, _)) => Err(Flaw::at(member, "needs `emit` in the rule")),
            None => Ok(action),
        }
    }

    pub(super) fn emission(&self) -> Option<&Emission> {
        match &self.action {
            Action::Emit(emission) => Some(emission),
            Action::Drop(_) | Action::Reject(_) | Action::Alarm(_) => None,
        }
    }
}

impl Emission {
    fn compile(written: &Value, settings: &RuleSettings, names: &Names<'_>) -> Result<Self, Flaw> {
        let within = |place: &'static str| move |flaw: Flaw| flaw.within(place);
        let emit = Expr::compile(written, names).map_err(within("emit"))?;
        let types = types(&emit, &settings.emits)?;
        let Some(subject) = &settings.subject else {
            return Err(Flaw::at("subject", "is required: say whom the event is about"));
        };
        let subject = Form::compile(subject, names).map_err(within("subject"))?;
        let identifiers = settings.subject_identifiers.iter();
        let identifiers = identifiers.map(|written| Part::compile(written, names));
        let identifiers = identifiers.collect::<Result<_, _>>();
        let value = |written: &Option<Value>, place: &'static str| {
            let value = written.as_ref().map(|written| Expr::compile(written, names));
            value.transpose().map_err(within(place))
        };
        let mut event = settings.event.clone();
        let copy = event.remove("copy").map(|path| match path {
            Value::String(path) => Path::compile(&path, names),
            _ => Err(Flaw::at("copy", "must be a path")),
        });
        let on_change = settings.on_change.as_ref();
        let on_change =
            on_change.map(|settings_| OnChange::compile(settings_, &settings.name, names));
        Ok(Self {
            emit,
            types,
            subject,
            identifiers: identifiers.map_err(within("subject_identifiers"))?,
            copy: copy.transpose()?,
            event: members(&event, names)?,
            id: value(&settings.id, "id")?,
            txn: value(&settings.txn, "txn")?,
            on_change: on_change.transpose().map_err(within("on_change"))?,
            user_wide: settings.scope == Some(Scope::User),
        })
    }
}

fn members(table: &Map<String, Value>, names: &Names<'_>) -> Result<Vec<(String, Expr)>, Flaw> {
    let member = |(name, written): (&String, &Value)| {
        let value = Expr::compile(written, names).map_err(|flaw| flaw.within(name))?;
        Ok((name.clone(), value))
    };
    table.iter().map(member).collect()
}

/// Returns the types that a rule may emit: those of `emits`, or all that `emit` can give.
fn types(emit: &Expr, emits: &[String]) -> Result<Vec<EmittedType>, Flaw> {
    let mut written: Vec<&str> = emits.iter().map(String::as_str).collect();
    match emit.possible() {
        Some(possible) => {
            for value in possible {
                let Some(text) = value.as_str() else {
                    return Err(Flaw::at("emit", "must give the name of an event type"));
                };
                if emits.is_empty() && !written.contains(&text) {
                    written.push(text);
                }
                if !written.contains(&text) {
                    return Err(Flaw::at(
                        "emits",
                        format!("lacks `{text}`, which `emit` can give"),
                    ));
                }
            }
        }
        None if emits.is_empty() => {
            return Err(Flaw::at(
                "emit",
                "can give types that are not known in advance; list them in `emits`",
            ));
        }
        None => {}
    }
    written.into_iter().map(EmittedType::compile).collect()
}
