//! The answers of authentik's API: texts behind each other, each with a page of a list.

use serde_json::{Deserializer, Value, value::RawValue};

use crate::domain::json;

/// The most values in one answer of the API.
const VALUES_MAX: usize = 1_000_000;

/// A list that the API answers in pages.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// The number of entries that the API told.
    count: Option<u64>,
    entries: usize,
}

/// The entries of one answer, and how many there are on all pages.
pub(super) struct Entries {
    pub(super) list: Vec<Value>,
    pub(super) count: Option<u64>,
}

/// Parses the answers in a text.
pub(super) fn answers(text: &[u8]) -> Result<Vec<Value>, String> {
    let mut answers = Vec::new();
    for (n, answer) in (1..).zip(Deserializer::from_slice(text).into_iter::<&RawValue>()) {
        let answer = answer.map_err(|error| {
            format!(
                "answer {n} is cut or no JSON ({error}); fetch it again, and append to the file"
            )
        })?;
        let document = json::read_up_to(answer.get().as_bytes(), VALUES_MAX);
        match document.map_err(|error| format!("answer {n} {error}"))?.value {
            Value::Array(several) => answers.extend(several),
            one => answers.push(one),
        }
    }
    if answers.is_empty() { Err("the file is empty".to_owned()) } else { Ok(answers) }
}

/// Takes the entries out of an answer. The error continues a sentence that names the answer.
pub(super) fn entries(answer: Value) -> Result<Entries, String> {
    let Value::Object(mut answer) = answer else {
        return Err("must be an object with `results`, as authentik's API answers".to_owned());
    };
    let count = answer.get("pagination").and_then(|pagination| json::whole(&pagination["count"]));
    match (answer.remove("results"), answer.get("detail").and_then(Value::as_str)) {
        (Some(Value::Array(list)), _) => Ok(Entries { list, count }),
        (None, Some(detail)) => {
            let detail: String = detail.chars().filter(|c| !c.is_control()).take(200).collect();
            Err(format!("is a refusal of authentik: `{detail}`; fetch the list again"))
        }
        _ => Err("must have a list `results`, as authentik's API answers".to_owned()),
    }
}

impl Listed {
    pub(super) fn note(&mut self, count: Option<u64>) {
        self.count = self.count.max(count);
        self.entries += 1;
    }

    /// Returns that pages are missing, if the API told more entries than there are.
    pub(super) fn flaw(&self, entries: &str, path: &str) -> Option<String> {
        let (there, told) = (self.entries, self.count?);
        (u64::try_from(there).unwrap_or(u64::MAX) < told).then(|| {
            format!(
                "has {there} of {told} {entries}; fetch the other pages, such as \
                 {path}?page_size=100&page=2, and append them"
            )
        })
    }
}
