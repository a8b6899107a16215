//! Values: what a mapping puts into an event.
//!
//! A value is a constant, a template, a list or an object of values, or the long form: a table with
//! one of `from`, `first`, `const` and `switch`, and with `fn`, `map`, `default` and `optional` as
//! further members, applied in this order.

use std::{borrow::Cow, sync::Arc};

use serde_json::{Map, Value};

use super::{
    condition::Conditions,
    error::{Flaw, listed},
    facts::{Missing, Scope, Why},
    function::{self, Function},
    names::Names,
    path::{self, Path},
    settings::MapSettings,
    table::Table,
    template::{Template, Written},
};

/// How deep values may be nested.
pub const VALUE_DEPTH_MAX: usize = 8;
/// The most alternatives of `first` or `switch`, elements of a list, and members of an object.
pub const ALTERNATIVES_MAX: usize = 64;

/// A compiled value.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    Const(Value),
    Template(Template),
    List(Vec<Expr>),
    Object(Vec<(String, Expr)>),
    Long(Box<Long>),
}

/// The long form of a value.
#[derive(Debug, Clone)]
pub(super) struct Long {
    source: Source,
    functions: Vec<Function>,
    table: Option<Arc<Table>>,
    default: Option<Expr>,
    optional: bool,
    /// The first path, which errors name.
    label: String,
}

#[derive(Debug, Clone)]
enum Source {
    From(Expr),
    First(Vec<Expr>),
    Switch(Vec<(Conditions, Expr)>),
}

const SOURCES: [&str; 4] = ["from", "first", "const", "switch"];
const MODIFIERS: [&str; 4] = ["fn", "map", "default", "optional"];
/// The members of a case of a `switch` that are conditions.
const CONDITIONS: [&str; 3] = ["when", "unless", "any"];

impl Expr {
    /// Reads a value.
    pub(super) fn compile(written: &Value, names: &Names<'_>) -> Result<Self, Flaw> {
        Self::nested(written, names, 0)
    }

    fn nested(written: &Value, names: &Names<'_>, depth: usize) -> Result<Self, Flaw> {
        if depth == VALUE_DEPTH_MAX {
            let rule = format!("values must not be nested more than {VALUE_DEPTH_MAX} deep");
            return Err(Flaw::new(rule));
        }
        match written {
            Value::String(text) => Self::of_text(text, names),
            Value::Null => Err(Flaw::new("must not be null; leave the member out")),
            Value::Bool(_) | Value::Number(_) => Ok(Self::Const(written.clone())),
            Value::Array(elements) => {
                few(elements.len())?;
                let element = |element| Self::nested(element, names, depth + 1);
                Ok(Self::List(elements.iter().map(element).collect::<Result<_, _>>()?).folded())
            }
            Value::Object(members) if is_long(members) => Self::long(members, names, depth),
            Value::Object(members) => {
                few(members.len())?;
                let compile = |(name, member): (&String, &Value)| {
                    let value = Self::nested(member, names, depth + 1);
                    Ok((name.clone(), value.map_err(|flaw| flaw.within(name))?))
                };
                Ok(Self::Object(members.iter().map(compile).collect::<Result<_, _>>()?).folded())
            }
        }
    }

    /// Reads a constant or a template.
    fn of_text(text: &str, names: &Names<'_>) -> Result<Self, Flaw> {
        match Written::compile(text, names)? {
            Written::Text(text) if text.is_empty() => {
                Err(Flaw::new("must not be an empty text; leave the member out"))
            }
            Written::Text(text) => Ok(Self::Const(Value::String(text))),
            Written::Template(template) => Ok(Self::Template(template).folded()),
        }
    }

    /// Reads a path or a template, as `from` and `first` have it.
    pub(super) fn of_path(written: &Value, names: &Names<'_>) -> Result<Self, Flaw> {
        let Value::String(text) = written else {
            return Err(Flaw::new("must be a path or a template"));
        };
        // A JSONPath may have braces in quotes, but begins with none.
        if !text.starts_with(['/', '$']) && text.contains(['{', '}']) {
            return Self::of_text(text, names);
        }
        Ok(Self::Template(Template::of_path(Path::compile(text, names)?)).folded())
    }

    fn long(members: &Map<String, Value>, names: &Names<'_>, depth: usize) -> Result<Self, Flaw> {
        let known =
            |name: &&String| SOURCES.contains(&name.as_str()) || MODIFIERS.contains(&name.as_str());
        if let Some(stray) = members.keys().find(|name| !known(name)) {
            let known = listed(SOURCES.into_iter().chain(MODIFIERS));
            return Err(Flaw::at(stray, format!("is not a member of a value; there are {known}")));
        }
        let mut sources = SOURCES.iter().filter_map(|name| Some((*name, members.get(*name)?)));
        let Some((kind, written)) = sources.next() else {
            return Err(Flaw::new(
                "has members of a value but no source: give one of `from`, `first`, `const` and \
                 `switch`",
            ));
        };
        if let Some((second, _)) = sources.next() {
            return Err(Flaw::at(second, format!("must not stand beside `{kind}`; give one")));
        }
        let source = match kind {
            "from" => Source::From(Self::of_path(written, names)?),
            "const" => Source::From(constant(written)?),
            "first" => {
                let paths = alternatives(written, kind)?.iter();
                let paths = paths.map(|path| Self::of_path(path, names));
                Source::First(paths.collect::<Result<_, _>>()?)
            }
            _ => {
                let cases = alternatives(written, kind)?.iter();
                let cases = cases.map(|case| Self::case(case, names, depth));
                Source::Switch(cases.collect::<Result<_, _>>()?)
            }
        };
        let functions = match members.get("fn") {
            None => Vec::new(),
            Some(Value::String(text)) => {
                Function::list(text).map_err(|reason| Flaw::at("fn", reason))?
            }
            Some(_) => return Err(Flaw::at("fn", "must be names of functions, joined by `|`")),
        };
        let table = members.get("map").map(|map| table(map, names)).transpose()?;
        let default = members.get("default").map(|value| Self::nested(value, names, depth + 1));
        let default = default.transpose().map_err(|flaw| flaw.within("default"))?;
        let optional = match members.get("optional") {
            None => false,
            Some(Value::Bool(optional)) => *optional,
            Some(_) => return Err(Flaw::at("optional", "must be true or false")),
        };
        if optional && default.is_some() {
            return Err(Flaw::at("optional", "has no effect beside `default`; give one of them"));
        }
        let label = source.label();
        Ok(Self::Long(Box::new(Long { source, functions, table, default, optional, label })))
    }

    fn case(case: &Value, names: &Names<'_>, depth: usize) -> Result<(Conditions, Self), Flaw> {
        let Value::Object(members) = case else {
            return Err(Flaw::at("switch", "must have tables with `when` and a value"));
        };
        let (conditions, value): (Map<_, _>, Map<_, _>) =
            members.clone().into_iter().partition(|(name, _)| CONDITIONS.contains(&name.as_str()));
        let conditions = Conditions::of_case(&conditions, names)?;
        if conditions.is_empty() {
            let rule = "has a case without `when`; write `default` for the value of all others";
            return Err(Flaw::at("switch", rule));
        }
        if !is_long(&value) {
            return Err(Flaw::at("switch", "has a case without `const`, `from` or `first`"));
        }
        Ok((conditions, Self::nested(&Value::Object(value), names, depth + 1)?))
    }

    /// Replaces a value whose parts are all constant by that constant.
    fn folded(self) -> Self {
        let constant = match &self {
            Self::Template(template) => template.constant(),
            Self::List(elements) => {
                let constant = |element: &Self| element.as_const().cloned();
                elements.iter().map(constant).collect::<Option<Vec<_>>>().map(Value::from)
            }
            Self::Object(members) => {
                let constant = |(name, member): &(String, Self)| {
                    Some((name.clone(), member.as_const()?.clone()))
                };
                let constants = members.iter().map(constant).collect::<Option<Map<_, _>>>();
                constants.map(Value::Object)
            }
            Self::Const(_) | Self::Long(_) => None,
        };
        constant.filter(path::is_present).map_or(self, Self::Const)
    }

    fn as_const(&self) -> Option<&Value> {
        match self {
            Self::Const(value) => Some(value),
            _ => None,
        }
    }

    /// Tells whether the member that has this value may be left out. A list or an object may if all
    /// of its parts may.
    pub(super) fn is_optional(&self) -> bool {
        match self {
            Self::Const(_) | Self::Template(_) => false,
            Self::List(elements) => elements.iter().all(Self::is_optional),
            Self::Object(members) => members.iter().all(|(_, member)| member.is_optional()),
            Self::Long(long) => long.optional,
        }
    }

    /// Computes the value.
    pub(super) fn value<'s, 'm: 's>(
        &'m self,
        scope: Scope<'s, 'm>,
    ) -> Result<Cow<'s, Value>, Missing<'m>> {
        match self {
            Self::Const(value) => Ok(Cow::Borrowed(value)),
            Self::Template(template) => template.value(scope),
            Self::Long(long) => long.value(scope),
            Self::List(elements) => {
                let mut list = Vec::with_capacity(elements.len());
                for element in elements {
                    list.extend(element.part(scope)?);
                }
                let missing = Missing { path: self.label(), why: Why::Absent };
                if list.is_empty() { Err(missing) } else { Ok(Cow::Owned(list.into())) }
            }
            Self::Object(members) => {
                let mut object = Map::new();
                for (name, member) in members {
                    if let Some(value) = member.part(scope)? {
                        object.insert(name.clone(), value);
                    }
                }
                let missing = Missing { path: self.label(), why: Why::Absent };
                if object.is_empty() { Err(missing) } else { Ok(Cow::Owned(object.into())) }
            }
        }
    }

    /// Computes the value of a member. An optional one that is missing gives nothing.
    pub(super) fn part<'m>(&'m self, scope: Scope<'_, 'm>) -> Result<Option<Value>, Missing<'m>> {
        match self.value(scope) {
            Ok(value) => Ok(Some(value.into_owned())),
            Err(_) if self.is_optional() => Ok(None),
            Err(missing) => Err(missing),
        }
    }

    /// Returns the first path, which errors name.
    pub(super) fn label(&self) -> &str {
        match self {
            Self::Const(_) => "",
            Self::Template(template) => template.label(),
            Self::List(elements) => elements.first().map_or("", Self::label),
            Self::Object(members) => members.first().map_or("", |(_, member)| member.label()),
            Self::Long(long) => &long.label,
        }
    }

    /// Returns all values that this one can give, if they are known when the mapping is loaded.
    pub(super) fn possible(&self) -> Option<Vec<&Value>> {
        match self {
            Self::Const(value) => Some(vec![value]),
            Self::Long(long) => long.possible(),
            Self::Template(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// Returns a value with the shape of the result, with texts in place of those that are not
    /// known. Nothing if the shape is not known either.
    pub(super) fn sample(&self) -> Option<Value> {
        match self {
            Self::Const(value) => Some(value.clone()),
            Self::Template(template) => template.is_text().then(|| "text".into()),
            Self::List(elements) => elements.iter().map(Self::sample).collect(),
            Self::Object(members) => {
                let sample = |(name, member): &(String, Self)| {
                    Some((name.clone(), member.sample().unwrap_or_else(|| "text".into())))
                };
                members.iter().map(sample).collect::<Option<Map<_, _>>>().map(Value::Object)
            }
            Self::Long(_) => None,
        }
    }
}

impl Long {
    fn value<'s, 'm: 's>(&'m self, scope: Scope<'s, 'm>) -> Result<Cow<'s, Value>, Missing<'m>> {
        let found = self.source.value(scope, &self.label);
        match (found.and_then(|value| self.convert(value)), &self.default) {
            (Err(_), Some(default)) => default.value(scope),
            (found, _) => found,
        }
    }

    fn convert<'s, 'm: 's>(&'m self, value: Cow<'s, Value>) -> Result<Cow<'s, Value>, Missing<'m>> {
        let missing = |why| Missing { path: &self.label, why };
        let value = function::apply(&self.functions, value)
            .map_err(|function| missing(Why::Function(function.text())))?;
        let Some(table) = &self.table else { return Ok(value) };
        let no_entry = missing(Why::NoEntry(&table.name));
        match value.as_ref() {
            // Elements without an entry are left out, as they are by a function.
            Value::Array(elements) => {
                let found = elements.iter().filter_map(|element| table.find(element)).cloned();
                let found: Vec<_> = found.collect();
                if found.is_empty() { Err(no_entry) } else { Ok(Cow::Owned(found.into())) }
            }
            value => table.find(value).map(Cow::Borrowed).ok_or(no_entry),
        }
    }

    fn possible(&self) -> Option<Vec<&Value>> {
        let mut possible: Vec<_> = match &self.table {
            Some(table) => table.results().collect(),
            None if !self.functions.is_empty() => return None,
            None => self.source.possible()?,
        };
        if let Some(default) = &self.default {
            possible.extend(default.possible()?);
        }
        Some(possible)
    }
}

impl Source {
    fn value<'s, 'm: 's>(
        &'m self,
        scope: Scope<'s, 'm>,
        label: &'m str,
    ) -> Result<Cow<'s, Value>, Missing<'m>> {
        match self {
            Self::From(value) => value.value(scope),
            Self::First(values) => {
                let mut found = values.iter().map(|value| value.value(scope));
                let first = found.next().expect("`first` has an element: checked at load");
                if first.is_ok() { first } else { found.find(Result::is_ok).unwrap_or(first) }
            }
            Self::Switch(cases) => {
                let case = cases.iter().find(|(conditions, _)| conditions.hold(scope).is_ok());
                let missing = Missing { path: label, why: Why::NoCase };
                case.map_or(Err(missing), |(_, value)| value.value(scope))
            }
        }
    }

    fn possible(&self) -> Option<Vec<&Value>> {
        match self {
            Self::From(value) => value.possible(),
            Self::First(values) => union(values.iter()),
            Self::Switch(cases) => union(cases.iter().map(|(_, value)| value)),
        }
    }

    fn label(&self) -> String {
        match self {
            Self::From(value) => value.label().to_owned(),
            Self::First(values) => values.first().map_or("", Expr::label).to_owned(),
            Self::Switch(cases) => {
                cases.first().map_or("", |(conditions, _)| conditions.label()).to_owned()
            }
        }
    }
}

fn union<'a>(values: impl Iterator<Item = &'a Expr>) -> Option<Vec<&'a Value>> {
    let possible: Option<Vec<_>> = values.map(Expr::possible).collect();
    possible.map(|possible| possible.into_iter().flatten().collect())
}

/// Tells whether a table is the long form of a value.
fn is_long(members: &Map<String, Value>) -> bool {
    let source = SOURCES.iter().any(|name| members.contains_key(*name));
    let modifier = || members.keys().all(|name| MODIFIERS.contains(&name.as_str()));
    source || (!members.is_empty() && modifier())
}

fn few(count: usize) -> Result<(), Flaw> {
    if (1..=ALTERNATIVES_MAX).contains(&count) {
        return Ok(());
    }
    Err(Flaw::new(format!("a list or a table must have 1 to {ALTERNATIVES_MAX} values")))
}

fn alternatives<'a>(written: &'a Value, kind: &str) -> Result<&'a [Value], Flaw> {
    match written {
        Value::Array(list) if (1..=ALTERNATIVES_MAX).contains(&list.len()) => Ok(list),
        _ => Err(Flaw::at(kind, format!("must be a list of 1 to {ALTERNATIVES_MAX} alternatives"))),
    }
}

/// Reads `const`, in which braces have no meaning.
fn constant(written: &Value) -> Result<Expr, Flaw> {
    if path::is_present(written) {
        return Ok(Expr::Const(written.clone()));
    }
    Err(Flaw::at("const", "must not be empty"))
}

/// Reads `map`: the name of a map, or a map in place.
fn table(written: &Value, names: &Names<'_>) -> Result<Arc<Table>, Flaw> {
    match written {
        Value::String(name) => names.maps.get(name).cloned().ok_or_else(|| {
            let known = listed(names.maps.keys().map(String::as_str));
            Flaw::at("map", format!("names the map `{name}`, which does not exist; known: {known}"))
        }),
        Value::Object(_) => {
            let settings: MapSettings = serde_json::from_value(written.clone())
                .map_err(|error| Flaw::at("map", error.to_string()))?;
            Table::compile("", &settings).map(Arc::new)
        }
        _ => Err(Flaw::at("map", "must be the name of a map, or a table with `values`")),
    }
}

#[cfg(test)]
mod tests;
