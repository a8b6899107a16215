//! Reads JSON that strangers write: events, request bodies, answers of other servers.
//!
//! - [`read`] parses a text within named bounds and refuses an object that has a member twice, because
//!   two parsers may disagree about which of the two counts.
//! - [`whole`] and [`same`] compare numbers by value, because JSON Schema calls `2.0` an integer.
//!
//! `serde_json` does not offer this: it keeps the last of two equal members, refuses numbers beyond
//! the range of a float, and its option to keep all digits changes how every type with numbers is
//! read.

mod number;
mod reader;

use serde_json::Value;

pub use self::number::{same, whole};
use self::reader::Reader;

/// How deep objects and arrays may be nested. The bodies that SSF defines need six levels.
pub const DEPTH_MAX: usize = 32;
/// The most values in one text, those inside others among them. The largest poll that RFC 8936 and
/// our own bounds allow has some 40,000.
pub const VALUES_MAX: usize = 50_000;
/// The longest name of a member, in bytes. The URI of an event type has at most 512.
pub const NAME_LENGTH_MAX: usize = 512;

/// A text that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub value: Value,
    /// Whether `value` holds every number to its last digit. If not, some number is kept as the
    /// nearest float, and the text must be kept by those who repeat the numbers.
    pub exact: bool,
}

/// Why a text is refused. Each message continues a sentence that names the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("must be JSON: {problem} at byte {at}")]
    Malformed { problem: &'static str, at: usize },
    #[error("must not have the member `{0}` twice")]
    Repeated(String),
    #[error("must not be nested more than {DEPTH_MAX} deep")]
    TooDeep,
    #[error("must have at most {0} values")]
    TooMany(usize),
    #[error("must not have a member with a name of more than {NAME_LENGTH_MAX} bytes")]
    LongName,
}

/// Parses a text (RFC 8259). The caller bounds its length.
pub fn read(json: &[u8]) -> Result<Document, JsonError> {
    Reader::new(utf8(json)?).document()
}

/// Parses a text that may have more values than [`VALUES_MAX`].
pub fn read_up_to(json: &[u8], values_max: usize) -> Result<Document, JsonError> {
    Reader::new(utf8(json)?).allow(values_max).document()
}

fn utf8(json: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(json).map_err(|error| JsonError::Malformed {
        problem: "the text is not UTF-8",
        at: error.valid_up_to(),
    })
}

/// Removes the members of an object that are `null`. An optional member that is `null` is absent.
pub fn without_nulls(members: &mut serde_json::Map<String, Value>) {
    members.retain(|_, value| !value.is_null());
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn refuses(json: &str, error: &str) {
        assert_eq!(read(json.as_bytes()).expect_err(json).to_string(), error);
    }

    #[test]
    fn a_refusal_names_the_problem_and_the_place() {
        refuses("", "must be JSON: the text ends too early at byte 0");
        refuses("{\"a\":", "must be JSON: the text ends too early at byte 5");
        refuses("{a", "must be JSON: expected the name of a member at byte 1");
        refuses("[1 2]", "must be JSON: expected `,` or `]` at byte 3");
        refuses("{\"a\" 1}", "must be JSON: expected `:` at byte 5");
        refuses("{} {}", "must be JSON: expected the end of the text at byte 3");
        refuses("nul", "must be JSON: expected a value at byte 0");
        refuses("\"\u{1}\"", "must be JSON: a control character in a string at byte 1");
        refuses("\"\\ud800\"", "must be JSON: an escape that stands for no character at byte 1");
        refuses("01", "must be JSON: expected the end of the text at byte 1");
        refuses("[1.]", "must be JSON: expected a digit at byte 3");
        let not_utf8 = read(b"\"\xff\"").expect_err("not UTF-8").to_string();
        assert_eq!(not_utf8, "must be JSON: the text is not UTF-8 at byte 1");
    }

    #[test]
    fn a_member_that_occurs_twice_is_named_wherever_it_is() {
        for json in
            [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"x":2,"\u0061":null}}]"#, r#"{"a":{},"a":{}}"#]
        {
            refuses(json, "must not have the member `a` twice");
        }
        let long = "x".repeat(NAME_LENGTH_MAX);
        let error = read(format!("{{\"{long}\":1,\"{long}\":2}}").as_bytes()).expect_err("twice");
        assert!(error.to_string().len() < 200, "{error}");
    }

    #[test]
    fn depth_names_and_values_are_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(read(nested(DEPTH_MAX).as_bytes()).is_ok());
        refuses(&nested(DEPTH_MAX + 1), "must not be nested more than 32 deep");
        refuses(&"[".repeat(100_000), "must not be nested more than 32 deep");
        let named = |length: usize| format!("{{\"{}\":1}}", "n".repeat(length));
        assert!(read(named(NAME_LENGTH_MAX).as_bytes()).is_ok());
        refuses(
            &named(NAME_LENGTH_MAX + 1),
            "must not have a member with a name of more than 512 bytes",
        );
        let many = |values: usize| format!("[{}]", vec!["0"; values - 1].join(","));
        assert!(read(many(VALUES_MAX).as_bytes()).is_ok());
        refuses(&many(VALUES_MAX + 1), "must have at most 50000 values");
    }

    #[test]
    fn names_of_other_parsers_internals_are_plain_members() {
        for name in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
            let json = format!("{{\"{name}\":\"[1]\"}}");
            let document = read(json.as_bytes()).expect("JSON");
            assert_eq!(document.value[name], "[1]");
        }
    }

    #[track_caller]
    fn is_exact(json: &str, exact: bool) {
        assert_eq!(read(json.as_bytes()).expect(json).exact, exact, "{json}");
    }

    #[test]
    fn a_document_tells_whether_its_numbers_are_exact() {
        for json in ["0", "-1", "9223372036854775807", "-9223372036854775808"] {
            is_exact(json, true);
        }
        is_exact("18446744073709551615", true);
        for json in ["18446744073709551616", "-9223372036854775809", "-0", "1.50", "1e2", "1e999"] {
            is_exact(json, false);
            is_exact(&format!("{{\"a\":[{json}]}}"), false);
        }
    }

    /// JSON texts with all kinds of values, spaces and escapes, mostly valid.
    fn texts() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
            any::<String>().prop_map(|text| json!(text).to_string()),
            r#""(\\u[0-9a-fA-F]{4}|\\["\\/bfnrt]|[ -!#-\[\]-~]|é|😀){0,6}""#,
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let space = "[ \t\r\n]{0,2}";
            prop_oneof![
                (vec(inner.clone(), 0..4), space)
                    .prop_map(|(all, space)| format!("[{space}{}{space}]", all.join(&space))),
                (vec(inner.clone(), 0..4), space).prop_map(|(all, space)| format!(
                    "[{space}{}]",
                    all.join(&format!("{space},"))
                )),
                (vec(("[a-z]{1,3}", inner), 0..4), space).prop_map(|(all, space)| {
                    let members = all
                        .into_iter()
                        .map(|(name, value)| format!("{space}\"{name}\"{space}:{space}{value}"));
                    format!("{{{}{space}}}", members.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    #[track_caller]
    fn agrees(json: &[u8]) -> Result<(), TestCaseError> {
        match (read(json), serde_json::from_slice::<Value>(json)) {
            (Ok(document), Ok(value)) => prop_assert_eq!(document.value, value),
            // A number that is out of the range of floats.
            (Ok(document), Err(_)) => prop_assert!(!document.exact),
            (Err(JsonError::Malformed { .. }), expected) => prop_assert!(expected.is_err()),
            (Err(_), _) => {}
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn it_reads_what_another_parser_reads(json in texts()) {
            agrees(json.as_bytes())?;
        }

        #[test]
        fn it_refuses_what_another_parser_refuses(json in texts(), at: prop::sample::Index, byte: u8) {
            let mut broken = json.clone().into_bytes();
            let place = at.index(broken.len());
            broken[place] = byte;
            agrees(&broken)?;
            agrees(&json.as_bytes()[..place])?;
        }

        #[test]
        fn no_bytes_make_it_panic(json in vec(any::<u8>(), 0..64)) {
            agrees(&json)?;
        }
    }
}
