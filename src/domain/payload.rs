//! The payload of an event: the members under the type's URI in a SET (RFC 8417 §2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use super::{event_type::EventType, schema::Presence};

/// The members of an event as its publisher wrote them.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    members: Map<String, Value>,
    /// The members as text, if a number among them has more digits than a [`Value`] keeps.
    exact: Option<Box<RawValue>>,
}

impl Payload {
    /// Makes the payload of a published event. An optional member of the type that is `null` is
    /// absent. Members that the type does not define stay as they are.
    pub(super) fn published(event_type: &EventType, mut members: Map<String, Value>) -> Self {
        if members.values().any(Value::is_null)
            && let Some((family, schema)) = event_type.definition()
        {
            let defined = family.common.iter().chain(schema.members);
            for member in defined.filter(|member| member.presence != Presence::Required) {
                if members.get(member.name).is_some_and(Value::is_null) {
                    members.remove(member.name);
                }
            }
        }
        members.into()
    }

    /// Keeps the numbers as they are written in `published`, the text that the event was read from. Members
    /// that are not in the text stay as they are.
    pub(super) fn keep_digits(&mut self, published: &[u8]) {
        #[derive(Deserialize)]
        struct Published<'a> {
            #[serde(borrow)]
            event: Option<BTreeMap<String, &'a RawValue>>,
        }
        let read: Published<'_> =
            serde_json::from_slice(published).expect("the text was read before");
        let published = read.event.unwrap_or_default();
        let text = |(name, value): (&String, &Value)| {
            let text = published.get(name).map(|&text| text.to_owned());
            let text = text.unwrap_or_else(|| to_raw_value(value).expect("a value is JSON"));
            (name.clone(), text)
        };
        let members: BTreeMap<String, Box<RawValue>> = self.members.iter().map(text).collect();
        self.exact = Some(to_raw_value(&members).expect("members are JSON"));
    }

    /// Returns the members, to be changed. A number with too many digits is the nearest one.
    pub(super) fn into_members(self) -> Map<String, Value> {
        self.members
    }

    /// Returns the members. A number with too many digits is the nearest one.
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }
}

impl From<Map<String, Value>> for Payload {
    fn from(members: Map<String, Value>) -> Self {
        Self { members, exact: None }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        let text = |payload: &Self| payload.exact.as_ref().map(|text| text.get().to_owned());
        self.members == other.members && text(self) == text(other)
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.exact {
            None => self.members.serialize(serializer),
            Some(text) => text.serialize(serializer),
        }
    }
}
