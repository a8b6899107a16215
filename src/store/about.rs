//! The subject of a SET that waits.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::subject::Subject;

#[derive(Deserialize)]
struct AboutSubject {
    sub_id: Value,
}

/// Returns the subject with all identifiers of its event: `identifiers`, or the identifier in the claims
/// if the event had no others. Returns `None` if they cannot be read.
pub(super) fn subject_of(claims: &str, identifiers: Option<&str>) -> Option<Subject> {
    let identifiers: Vec<Value> = match identifiers {
        Some(identifiers) => serde_json::from_str(identifiers).ok()?,
        None => vec![serde_json::from_str::<AboutSubject>(claims).ok()?.sub_id],
    };
    Subject::try_from(identifiers).ok()
}
