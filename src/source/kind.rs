//! The kinds of sources, by the contents of their requests.

use serde_json::Value;

use super::{
    body::{self, Part, UnreadableBody},
    request::SourceRequest,
    verify::Verified,
};
use crate::domain::{event_type::EventType, mapping::Mapping};

/// The kind of a source. Each kind turns a verified request into records for the mapping.
#[derive(Debug)]
pub enum Kind {
    /// Native events as JSON: one document, an array, or lines. If the credential is a token in the body,
    /// its claims are the record.
    Native(Box<Mapping>),
}

impl Kind {
    pub(super) fn mapping(&self) -> &Mapping {
        match self {
            Self::Native(mapping) => mapping,
        }
    }

    /// Returns the event types that the source can emit.
    pub(super) fn emits(&self) -> Vec<EventType> {
        self.mapping().emits().into_iter().collect()
    }

    /// Takes the documents out of a verified request.
    pub(super) fn documents(
        &self,
        request: &SourceRequest,
        verified: Verified,
        is_token_in_body: bool,
        records_max: usize,
    ) -> Result<Vec<Part>, UnreadableBody> {
        match self {
            Self::Native(_) => match verified.claims {
                Some(claims) if is_token_in_body => Ok(vec![Ok(Value::Object(claims))]),
                _ => {
                    let is_lines = body::says_lines(request.headers.text("content-type"));
                    body::parts(&request.body, is_lines, records_max)
                }
            },
        }
    }
}
