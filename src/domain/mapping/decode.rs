//! Documents inside a record that are written as text: JSON in a string, in base64, or in a JWT.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    error::Flaw,
    facts::{Missing, Why},
    function::base64_decode,
    path::{self, Step},
    settings::{DecodeSettings, Encoding},
};
use crate::domain::json;

/// The most documents that a mapping may decode.
pub const DECODES_MAX: usize = 8;

/// One document of a record.
#[derive(Debug, Clone)]
pub(super) struct Decode {
    at: String,
    steps: Vec<Step>,
    encoding: Encoding,
    optional: bool,
}

impl Decode {
    pub(super) fn compile(settings: &DecodeSettings) -> Result<Self, Flaw> {
        let steps = path::pointer(&settings.at)
            .map_err(|reason| Flaw::at(&settings.at, format!("{reason} (`decode`)")))?;
        let DecodeSettings { at, encoding, optional } = settings.clone();
        Ok(Self { at, steps, encoding, optional })
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn optional(&self) -> bool {
        self.optional
    }

    /// Reads the document. Returns nothing if the record has it in clear already.
    pub(super) fn decode(&self, record: &Value) -> Result<Option<Value>, Missing<'_>> {
        let missing = |why| Missing { path: &self.at, why };
        let found = self.steps.iter().try_fold(record, |value, step| step.take(value));
        let text = match found {
            Some(Value::Object(_) | Value::Array(_)) => return Ok(None),
            Some(Value::String(text)) if !text.is_empty() => text,
            _ => return Err(missing(Why::Absent)),
        };
        let (name, bytes) = match self.encoding {
            Encoding::Json => ("JSON", Some(Cow::Borrowed(text.as_bytes()))),
            Encoding::Base64Json => ("JSON in base64", base64_decode(text).map(Cow::Owned)),
            Encoding::Jwt => ("a JWT", claims(text).map(Cow::Owned)),
        };
        let document = bytes.and_then(|bytes| json::read(&bytes).ok());
        document.map(|document| Some(document.value)).ok_or(missing(Why::Undecodable(name)))
    }

    pub(super) fn replace(&self, record: &mut Value, document: Value) {
        let place = self.steps.iter().try_fold(record, |value, step| step.take_mut(value));
        if let Some(place) = place {
            *place = document;
        }
    }
}

/// Returns the claims of a JWS in compact form. The signature is the business of whoever received
/// the record.
fn claims(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    base64_decode(claims).filter(|_| parts.next().is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(encoding: Encoding, value: Value, expected: Result<Option<Value>, &str>) {
        let settings = DecodeSettings { at: "/d".to_owned(), encoding, optional: false };
        let decode = Decode::compile(&settings).expect("a pointer");
        let record = json!({"d": value});
        let found = decode.decode(&record).map_err(|missing| missing.text());
        assert_eq!(found, expected.map_err(str::to_owned), "{encoding:?} {record}");
    }

    #[test]
    fn documents_are_read_in_each_encoding() {
        let document = json!({"a": 1});
        check(Encoding::Json, json!(r#"{"a":1}"#), Ok(Some(document.clone())));
        check(Encoding::Base64Json, json!("eyJhIjoxfQ=="), Ok(Some(document.clone())));
        check(Encoding::Base64Json, json!("eyJhIjoxfQ"), Ok(Some(document.clone())));
        check(Encoding::Jwt, json!("e30.eyJhIjoxfQ.c2ln"), Ok(Some(document.clone())));
        for encoding in [Encoding::Json, Encoding::Base64Json, Encoding::Jwt] {
            check(encoding, document.clone(), Ok(None));
            check(encoding, json!(null), Err("`/d` is missing"));
            check(encoding, json!(""), Err("`/d` is missing"));
            check(encoding, json!(7), Err("`/d` is missing"));
        }
        check(Encoding::Json, json!("{"), Err("`/d` cannot be decoded as JSON"));
        check(Encoding::Json, json!(r#"{"a":1,"a":2}"#), Err("`/d` cannot be decoded as JSON"));
        check(Encoding::Json, json!("[".repeat(500)), Err("`/d` cannot be decoded as JSON"));
        check(Encoding::Base64Json, json!("?"), Err("`/d` cannot be decoded as JSON in base64"));
        check(Encoding::Jwt, json!("e30.eyJhIjoxfQ"), Err("`/d` cannot be decoded as a JWT"));
        check(Encoding::Jwt, json!("a.b.c.d"), Err("`/d` cannot be decoded as a JWT"));
    }

    #[test]
    fn a_document_takes_the_place_of_its_text() {
        let settings =
            DecodeSettings { at: "/a/0".into(), encoding: Encoding::Json, optional: true };
        let decode = Decode::compile(&settings).expect("a pointer");
        let mut record = json!({"a": ["{\"b\":2}", 1]});
        let document = decode.decode(&record).expect("JSON").expect("a text");
        decode.replace(&mut record, document);
        assert_eq!(record, json!({"a": [{"b": 2}, 1]}));
    }
}
