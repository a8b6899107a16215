//! Whom a SET that waits is about.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::subject::Subject;

#[derive(Deserialize)]
struct AboutSubject {
    sub_id: Value,
}

/// The subject under each identifier that its event had: `identifiers`, or where those are the
/// claims' own, what these say. `None` if that cannot be read.
pub(super) fn subject_of(claims: &str, identifiers: Option<&str>) -> Option<Subject> {
    let identifiers: Vec<Value> = match identifiers {
        Some(identifiers) => serde_json::from_str(identifiers).ok()?,
        None => vec![serde_json::from_str::<AboutSubject>(claims).ok()?.sub_id],
    };
    Subject::try_from(identifiers).ok()
}
