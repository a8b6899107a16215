//! The subject of an event, made of values.
//!
//! A simple subject is written as the name of its format and its value, such as `{ email = v }`, or
//! `{ iss_sub = { iss = v, sub = v } }` if the format has several members. A complex subject is a
//! table of them, such as `{ user = {..}, session = {..} }` (SSF §3.3). `{ copy = "<path>" }` takes the
//! identifier as the record has it.

use serde_json::{Map, Value};

use super::{
    error::{Flaw, listed},
    facts::{Missing, Scope, Why},
    function::text_of,
    names::Names,
    path::Path,
    template::find,
    value::Expr,
};
use crate::domain::subject::members_of;

/// The most members of a complex subject, and of identifiers beside the subject.
const PARTS_MAX: usize = 16;

/// A compiled subject.
#[derive(Debug, Clone)]
pub(super) enum Form {
    Simple(Simple),
    Complex(Vec<(String, Part)>),
    /// An identifier of the record. Whoever publishes the event judges it.
    Copy(Path),
}

#[derive(Debug, Clone)]
pub(super) struct Simple {
    format: String,
    members: Vec<(&'static str, Member)>,
}

#[derive(Debug, Clone)]
enum Member {
    /// A text. Numbers are written as text, because no format has a number.
    Text(Expr),
    /// The addresses of `ip-addresses`.
    List(Expr),
    /// The identifiers of `aliases`.
    Forms(Vec<Simple>),
}

/// A simple identifier that may be left out if one of its values is missing.
#[derive(Debug, Clone)]
pub(super) struct Part {
    form: Simple,
    optional: bool,
}

/// The members of a complex subject that name one session.
const SESSION: &str = "session";
/// The simple formats that name one session or token and not a user (SSF §3.5.1, §3.5.2, OET §2.1).
const SESSION_FORMATS: [&str; 3] = ["jwt_id", "saml_assertion_id", "oauth_token"];

impl Form {
    pub(super) fn compile(written: &Value, names: &Names<'_>) -> Result<Self, Flaw> {
        let Value::Object(members) = written else {
            return Err(Flaw::new(
                "must be a table, such as `{ email = \"{/user/email}\" }` or \
                 `{ user = { iss_sub = { iss = .., sub = .. } }, session = { opaque = .. } }`",
            ));
        };
        if is_simple(members) {
            return Simple::compile(members, names).map(Self::Simple);
        }
        if let Some(path) = copied(members) {
            return Path::compile(path?, names).map(Self::Copy);
        }
        if !(1..=PARTS_MAX).contains(&members.len()) {
            return Err(Flaw::new(format!("must have 1 to {PARTS_MAX} members")));
        }
        let part = |(name, written): (&String, &Value)| {
            let part = Part::compile(written, names).map_err(|flaw| flaw.within(name))?;
            Ok((name.clone(), part))
        };
        let parts: Vec<_> = members.iter().map(part).collect::<Result<_, _>>()?;
        if parts.iter().all(|(_, part)| part.optional) {
            return Err(Flaw::new("must have one member that is not optional"));
        }
        Ok(Self::Complex(parts))
    }

    /// Returns the format that every subject of this form has, if it is known.
    pub(super) fn format(&self) -> Option<&str> {
        match self {
            Self::Simple(simple) => Some(&simple.format),
            Self::Complex(_) => Some("complex"),
            Self::Copy(_) => None,
        }
    }

    /// Tells whether the subject can name one session, so that the event need not be about all
    /// sessions of a user.
    pub(super) fn may_name_a_session(&self) -> bool {
        match self {
            Self::Simple(simple) => SESSION_FORMATS.contains(&simple.format.as_str()),
            Self::Complex(parts) => parts.iter().any(|(name, _)| name == SESSION),
            Self::Copy(_) => true,
        }
    }

    /// Builds the subject.
    pub(super) fn build<'m>(&'m self, scope: Scope<'_, 'm>) -> Result<Value, Missing<'m>> {
        match self {
            Self::Simple(simple) => simple.build(scope),
            Self::Complex(parts) => {
                let mut subject = Map::new();
                subject.insert("format".to_owned(), "complex".into());
                for (name, part) in parts {
                    if let Some(part) = part.build(scope)? {
                        subject.insert(name.clone(), part);
                    }
                }
                Ok(Value::Object(subject))
            }
            Self::Copy(path) => copy(path, scope).map(Value::Object),
        }
    }
}

/// Returns the path behind `copy`, if a table has this member alone.
fn copied(members: &Map<String, Value>) -> Option<Result<&str, Flaw>> {
    let path = members.get("copy").filter(|_| members.len() == 1)?;
    Some(path.as_str().ok_or_else(|| Flaw::at("copy", "must be a path")))
}

/// Copies an object of the record.
pub(super) fn copy<'m>(
    path: &'m Path,
    scope: Scope<'_, 'm>,
) -> Result<Map<String, Value>, Missing<'m>> {
    let found = find(path, scope)?;
    let missing = Missing { path: path.text(), why: Why::NotObject };
    found.as_object().cloned().ok_or(missing)
}

/// Tells whether a subject that was built names one session.
pub(super) fn names_a_session(subject: &Value) -> bool {
    let format = subject["format"].as_str().unwrap_or_default();
    SESSION_FORMATS.contains(&format) || subject.get(SESSION).is_some()
}

/// Tells whether a table is a simple form: a format, and `optional` at most.
fn is_simple(members: &Map<String, Value>) -> bool {
    let mut formats = members.keys().filter(|name| *name != "optional");
    formats.next().is_some_and(|format| members_of(format).is_some()) && formats.next().is_none()
}

impl Part {
    pub(super) fn compile(written: &Value, names: &Names<'_>) -> Result<Self, Flaw> {
        let members = written.as_object().filter(|members| is_simple(members));
        let Some(members) = members else {
            return Err(Flaw::new(
                "must be a table with one subject format, such as `{ opaque = \"{/sid}\" }`",
            ));
        };
        let optional = match members.get("optional") {
            None => false,
            Some(Value::Bool(optional)) => *optional,
            Some(_) => return Err(Flaw::at("optional", "must be true or false")),
        };
        let mut members = members.clone();
        members.remove("optional");
        Ok(Self { form: Simple::compile(&members, names)?, optional })
    }

    /// Builds the identifier. An optional one that lacks a value gives nothing.
    pub(super) fn build<'m>(&'m self, scope: Scope<'_, 'm>) -> Result<Option<Value>, Missing<'m>> {
        match self.form.build(scope) {
            Ok(form) => Ok(Some(form)),
            Err(_) if self.optional => Ok(None),
            Err(missing) => Err(missing),
        }
    }
}

impl Simple {
    fn compile(members: &Map<String, Value>, names: &Names<'_>) -> Result<Self, Flaw> {
        if members.contains_key("optional") {
            return Err(Flaw::at("optional", "must not be at the subject of an event"));
        }
        let (format, written) = members.iter().next().expect("the form was recognized");
        let wanted = members_of(format).expect("the form was recognized");
        let within = |flaw: Flaw| flaw.within(format);
        let members = match wanted.as_slice() {
            ["identifiers"] => {
                let forms = written.as_array().filter(|forms| !forms.is_empty());
                let forms = forms.filter(|forms| forms.len() <= PARTS_MAX).ok_or_else(|| {
                    Flaw::at(format, format!("must be a list of 1 to {PARTS_MAX} identifiers"))
                })?;
                let form = |form: &Value| match form.as_object() {
                    Some(form) if is_simple(form) && !form.contains_key("aliases") => {
                        Self::compile(form, names).map_err(within)
                    }
                    _ => Err(Flaw::at(format, "must have simple identifiers only")),
                };
                let forms = forms.iter().map(form).collect::<Result<_, _>>()?;
                vec![("identifiers", Member::Forms(forms))]
            }
            [one] => {
                let value = Expr::compile(written, names).map_err(within)?;
                let list = *one == "ip-addresses";
                vec![(*one, if list { Member::List(value) } else { Member::Text(value) })]
            }
            several => {
                let table = written.as_object();
                let fits = |table: &&Map<String, Value>| {
                    table.len() == several.len() && several.iter().all(|m| table.contains_key(*m))
                };
                let table = table.filter(fits).ok_or_else(|| {
                    let members = listed(several.iter().copied());
                    Flaw::at(format, format!("must be a table with the members {members}"))
                })?;
                let member = |name: &&'static str| {
                    let value = Expr::compile(&table[*name], names);
                    Ok((*name, Member::Text(value.map_err(|flaw| flaw.within(name))?)))
                };
                several.iter().map(member).collect::<Result<_, _>>()?
            }
        };
        Ok(Self { format: format.clone(), members })
    }

    fn build<'m>(&'m self, scope: Scope<'_, 'm>) -> Result<Value, Missing<'m>> {
        let mut form = Map::new();
        form.insert("format".to_owned(), self.format.as_str().into());
        for (name, member) in &self.members {
            let value = match member {
                Member::Text(value) => {
                    let found = value.value(scope)?;
                    let missing = Missing { path: value.label(), why: Why::NotText };
                    text_of(&found).ok_or(missing)?.into_owned().into()
                }
                Member::List(value) => value.value(scope)?.into_owned(),
                Member::Forms(forms) => {
                    forms.iter().map(|form| form.build(scope)).collect::<Result<_, _>>()?
                }
            };
            form.insert((*name).to_owned(), value);
        }
        Ok(Value::Object(form))
    }
}
