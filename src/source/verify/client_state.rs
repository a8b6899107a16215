//! A text that the sender got when it was subscribed to, and repeats in each notification.

use serde_json::Value;

use super::{
    Refusal, required,
    secrets::{SharedSecret, is_any},
};
use crate::source::request::SourceRequest;

/// Where the text is.
pub enum StatePlace {
    /// A member of each record, by a JSON Pointer (RFC 6901). Microsoft Graph: `/clientState`.
    Record(String),
    /// A header of the request. Google: `X-Goog-Channel-Token`.
    Header(String),
}

/// Compares the text with the secrets. There is no signature, so the body is believed as it is.
pub struct ClientState {
    pub place: StatePlace,
    pub secrets: Vec<SharedSecret>,
}

impl ClientState {
    pub(super) fn judges_records(&self) -> bool {
        matches!(self.place, StatePlace::Record(_))
    }

    pub(super) fn header(&self) -> Option<&str> {
        match &self.place {
            StatePlace::Record(_) => None,
            StatePlace::Header(name) => Some(name),
        }
    }

    pub(super) fn verify_request(&self, request: &SourceRequest) -> Result<(), Refusal> {
        match &self.place {
            StatePlace::Record(_) => Ok(()),
            StatePlace::Header(name) => self.judge(required(request, name)?),
        }
    }

    pub(super) fn verify_record(&self, record: &Value) -> Result<(), Refusal> {
        let StatePlace::Record(pointer) = &self.place else { return Ok(()) };
        match record.pointer(pointer) {
            None | Some(Value::Null) => Err(Refusal::Missing),
            Some(Value::String(shown)) => self.judge(shown.as_bytes()),
            Some(_) => Err(Refusal::Malformed),
        }
    }

    /// Returns the header, if the text is in one. The records of a body have it themselves.
    pub(super) fn sign(&self) -> Option<(String, String)> {
        Some((self.header()?.to_owned(), self.secrets.first()?.expose().to_owned()))
    }

    fn judge(&self, shown: &[u8]) -> Result<(), Refusal> {
        if is_any(&self.secrets, shown) { Ok(()) } else { Err(Refusal::Wrong) }
    }
}
