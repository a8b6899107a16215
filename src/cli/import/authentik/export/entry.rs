//! One entry of a list, whose members are taken out one by one.

use serde_json::{Map, Value};

use crate::domain::stream::{METHOD_POLL, METHOD_PUSH};

/// The names of the delivery methods in authentik, old and new, and in SSF.
const METHODS: [(&str, &str); 4] = [
    ("https://schemas.openid.net/secevent/risc/delivery-method/push", METHOD_PUSH),
    ("https://schemas.openid.net/secevent/risc/delivery-method/poll", METHOD_POLL),
    (METHOD_PUSH, METHOD_PUSH),
    (METHOD_POLL, METHOD_POLL),
];

/// The members of one entry, which are taken out one by one. All that is wrong with them is gathered.
pub(super) struct Entry {
    /// The name of the entry in errors.
    pub(super) name: String,
    members: Map<String, Value>,
    pub(super) flaws: Vec<String>,
}

impl Entry {
    pub(super) fn new(name: String, members: Map<String, Value>) -> Self {
        Self { name, members, flaws: Vec::new() }
    }

    pub(super) fn flaw(&mut self, member: &str, rule: &str) {
        self.flaws.push(format!("{}: `{member}` {rule}", self.name));
    }

    /// Takes a member. A member that is `null` is absent.
    pub(super) fn take(&mut self, member: &str) -> Option<Value> {
        self.members.remove(member).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, member: &str) -> Option<String> {
        let value = self.take(member)?;
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            self.flaw(member, "must be a string");
        }
        text
    }

    pub(super) fn required(&mut self, member: &str) -> Option<String> {
        let before = self.flaws.len();
        let text = self.text(member).filter(|text| !text.is_empty());
        if text.is_none() && self.flaws.len() == before {
            self.flaw(member, "is required");
        }
        text
    }

    pub(super) fn number(&mut self, member: &str) -> Option<i64> {
        let number = self.take(member).and_then(|value| value.as_i64());
        if number.is_none() {
            self.flaw(member, "must be a whole number");
        }
        number
    }

    /// Takes a list of texts. A list that is absent is empty.
    pub(super) fn texts(&mut self, member: &str) -> Vec<String> {
        let list = self.take(member).map(serde_json::from_value).transpose();
        list.unwrap_or_else(|_| {
            self.flaw(member, "must be a list of strings");
            None
        })
        .unwrap_or_default()
    }

    pub(super) fn parsed<T>(&mut self, member: &str, text: &str) -> Option<T>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        match text.parse() {
            Ok(value) => Some(value),
            Err(rule) => {
                self.flaw(member, &format!("is `{}`: {rule}", text.escape_debug()));
                None
            }
        }
    }

    /// Takes the delivery method. Returns the name that authentik has, and the one of SSF.
    pub(super) fn method(&mut self) -> Option<(String, &'static str)> {
        let name = self.required("delivery_method")?;
        let known = METHODS.iter().find(|(known, _)| *known == name);
        if known.is_none() {
            let rule = format!("must be one of {}", METHODS.map(|(known, _)| known).join(", "));
            self.flaw("delivery_method", &rule);
        }
        known.map(|(_, method)| (name, *method))
    }

    /// Takes the names of OIDC providers, or their numbers if there are no names.
    pub(super) fn oidc_providers(&mut self) -> Vec<String> {
        let mut list = |member| match self.take(member) {
            Some(Value::Array(list)) => list,
            _ => Vec::new(),
        };
        let (objects, numbers) = (list("oidc_auth_providers_obj"), list("oidc_auth_providers"));
        let names = objects.iter().filter_map(|object| object["name"].as_str());
        let names: Vec<_> = names.map(str::to_owned).collect();
        if names.is_empty() { numbers.iter().map(Value::to_string).collect() } else { names }
    }

    /// Returns the names of the members that are left and not empty, and what is wrong.
    pub(super) fn rest(self) -> (Vec<String>, Vec<String>) {
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        let strays = self.members.into_iter().filter(|(_, value)| !is_empty(value));
        (strays.map(|(name, _)| name).collect(), self.flaws)
    }
}
