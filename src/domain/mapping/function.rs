//! The functions of the language. Each takes one text and gives one text or none, in time that is
//! linear in its length. A text of more than [`TEXT_BYTES_MAX`] bytes gives none.
//!
//! A number or a boolean is written as text first. A function on an array is applied to each element,
//! and leaves out the elements for which it gives nothing.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

use super::facts::TEXT_BYTES_MAX;
use crate::domain::subject::is_email;

/// The most functions on one value.
pub const FUNCTIONS_MAX: usize = 8;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

#[derive(Debug, Clone)]
pub(super) struct Function {
    /// The function as it is written.
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Lower,
    Upper,
    Trim,
    UrlDecode,
    Base64Decode,
    Sha256,
    Segment(i32),
    StripPrefix(String),
    StripSuffix(String),
    PrefixBefore(String),
    SuffixAfter(String),
    Email,
    NonzeroUuid,
    NotUuid,
    Text,
}

impl Function {
    /// Reads functions that are joined by `|`.
    pub(super) fn list(text: &str) -> Result<Vec<Self>, String> {
        let functions: Vec<_> = text.split('|').map(Self::parse).collect::<Result<_, _>>()?;
        if FUNCTIONS_MAX < functions.len() {
            return Err(format!("has more than {FUNCTIONS_MAX} functions"));
        }
        Ok(functions)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, argument) = text.split_once(':').map_or((text, None), |(n, a)| (n, Some(a)));
        let needs = |argument: Option<&str>| match argument {
            Some(argument) if !argument.is_empty() => Ok(argument.to_owned()),
            _ => Err(format!("the function `{name}` needs an argument: `{name}:<text>`")),
        };
        let kind = match name {
            "segment" => Kind::Segment(needs(argument)?.parse().map_err(|_| {
                "the function `segment` needs a position: 0 is the first, -1 the last".to_owned()
            })?),
            "strip_prefix" => Kind::StripPrefix(needs(argument)?),
            "strip_suffix" => Kind::StripSuffix(needs(argument)?),
            "prefix_before" => Kind::PrefixBefore(needs(argument)?),
            "suffix_after" => Kind::SuffixAfter(needs(argument)?),
            _ if argument.is_some() => {
                return Err(format!("the function `{name}` takes no argument, or does not exist"));
            }
            "lower" => Kind::Lower,
            "upper" => Kind::Upper,
            "trim" => Kind::Trim,
            "urldecode" => Kind::UrlDecode,
            "base64decode" => Kind::Base64Decode,
            "sha256" => Kind::Sha256,
            "email" => Kind::Email,
            "nonzero_uuid" => Kind::NonzeroUuid,
            "not_uuid" => Kind::NotUuid,
            "string" => Kind::Text,
            _ => {
                return Err(format!(
                    "`{name}` is not a function; there are `lower`, `upper`, `trim`, `urldecode`, \
                     `base64decode`, `sha256`, `segment:<n>`, `strip_prefix:<p>`, \
                     `strip_suffix:<s>`, `prefix_before:<c>`, `suffix_after:<c>`, `email`, \
                     `nonzero_uuid`, `not_uuid` and `string`"
                ));
            }
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn apply<'v>(&self, text: Cow<'v, str>) -> Option<Cow<'v, str>> {
        /// Takes a part of a text without copying it, if the text is borrowed.
        fn part<'v>(
            text: Cow<'v, str>,
            take: impl for<'t> FnOnce(&'t str) -> Option<&'t str>,
        ) -> Option<Cow<'v, str>> {
            match text {
                Cow::Borrowed(text) => take(text).map(Cow::Borrowed),
                Cow::Owned(text) => take(&text).map(str::to_owned).map(Cow::Owned),
            }
        }
        match &self.kind {
            Kind::Text => Some(text),
            Kind::Lower => Some(text.to_lowercase().into()),
            Kind::Upper => Some(text.to_uppercase().into()),
            Kind::Trim => part(text, |text| Some(text.trim())),
            Kind::UrlDecode => url_decode(&text).map(Cow::Owned),
            Kind::Base64Decode => String::from_utf8(base64_decode(&text)?).ok().map(Cow::Owned),
            Kind::Sha256 => Some(sha256(text.as_bytes()).into()),
            Kind::Segment(at) => part(text, |text| segment(text, *at)),
            Kind::StripPrefix(prefix) => {
                part(text, |text| Some(text.strip_prefix(prefix.as_str()).unwrap_or(text)))
            }
            Kind::StripSuffix(suffix) => {
                part(text, |text| Some(text.strip_suffix(suffix.as_str()).unwrap_or(text)))
            }
            Kind::PrefixBefore(mark) => part(text, |text| Some(text.split_once(mark.as_str())?.0)),
            Kind::SuffixAfter(mark) => part(text, |text| Some(text.rsplit_once(mark.as_str())?.1)),
            Kind::Email => Some(text).filter(|text| is_email(text)),
            Kind::NonzeroUuid => Some(text).filter(|text| !is_zero_uuid(text)),
            Kind::NotUuid => Some(text).filter(|text| !is_uuid(text)),
        }
    }
}

/// Applies functions in their order. Returns the function that gives nothing, if one does.
pub(super) fn apply<'v, 'm>(
    functions: &'m [Function],
    value: Cow<'v, Value>,
) -> Result<Cow<'v, Value>, &'m Function> {
    let Some(first) = functions.first() else { return Ok(value) };
    if let Value::Array(elements) = value.as_ref() {
        let apply = |element| Some(apply(functions, Cow::Borrowed(element)).ok()?.into_owned());
        let elements: Vec<_> = elements.iter().filter_map(apply).collect();
        return if elements.is_empty() { Err(first) } else { Ok(Cow::Owned(elements.into())) };
    }
    let text = match value {
        Cow::Borrowed(value) => text_of(value),
        Cow::Owned(Value::String(text)) => Some(Cow::Owned(text)),
        Cow::Owned(value) => text_of(&value).map(|text| Cow::Owned(text.into_owned())),
    };
    let mut text = text.filter(|text| text.len() <= TEXT_BYTES_MAX).ok_or(first)?;
    for function in functions {
        text = function.apply(text).filter(|text| !text.is_empty()).ok_or(function)?;
    }
    Ok(Cow::Owned(Value::String(text.into_owned())))
}

/// Returns the text of a string, a number or a boolean.
pub(super) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(Cow::Borrowed(text.as_str())),
        Value::Number(_) | Value::Bool(_) => Some(Cow::Owned(value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns the SHA-256 of some bytes in lower-case hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = digest(&SHA256, bytes);
    let digits = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Decodes base64 of either alphabet, with or without padding (RFC 4648 §4, §5).
pub(super) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let url_safe = text.contains(['-', '_']);
    let engine = if url_safe { URL_SAFE } else { STANDARD };
    engine.decode(text).ok()
}

/// Decodes `%` and two hexadecimal digits (RFC 3986 §2.1). Nothing if the result is not UTF-8.
fn url_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

/// Returns one segment of a path such as `/users/41`. 0 is the first, -1 the last.
fn segment(path: &str, at: i32) -> Option<&str> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    match usize::try_from(at) {
        Ok(at) => segments.nth(at),
        Err(_) => segments.nth_back(usize::try_from(-(i64::from(at) + 1)).ok()?),
    }
}

/// Tells whether a text has the form of RFC 9562 §4, with hyphens.
fn is_uuid(text: &str) -> bool {
    let hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, byte): (usize, u8)| {
        if hyphen(at) { byte == b'-' } else { byte.is_ascii_hexdigit() }
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

fn is_zero_uuid(text: &str) -> bool {
    is_uuid(text) && text.bytes().all(|byte| matches!(byte, b'0' | b'-'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(functions: &str, value: Value, expected: Option<Value>) {
        let compiled = Function::list(functions).expect(functions);
        let borrowed = apply(&compiled, Cow::Borrowed(&value)).ok().map(Cow::into_owned);
        let owned = apply(&compiled, Cow::Owned(value.clone())).ok().map(Cow::into_owned);
        assert_eq!(borrowed, expected, "{functions} of {value}");
        assert_eq!(owned, expected, "{functions} of {value}, owned");
    }

    #[test]
    fn each_function_gives_a_text_or_nothing() {
        check("lower", json!("KIM"), Some(json!("kim")));
        check("upper", json!("kim"), Some(json!("KIM")));
        check("trim", json!(" kim\n"), Some(json!("kim")));
        check("trim", json!("  "), None);
        check("urldecode", json!("auth0%7C41%20+"), Some(json!("auth0|41 +")));
        check("urldecode", json!("%c3%bc"), Some(json!("ü")));
        check("urldecode", json!("%7"), None);
        check("urldecode", json!("%zz"), None);
        check("urldecode", json!("%ff"), None);
        check("base64decode", json!("YWI/"), Some(json!("ab?")));
        check("base64decode", json!("YWI_"), Some(json!("ab?")));
        check("base64decode", json!("YQ"), Some(json!("a")));
        check("base64decode", json!("YQ=="), Some(json!("a")));
        check("base64decode", json!("Y"), None);
        check("base64decode", json!("//8="), None);
        check(
            "sha256",
            json!("abc"),
            Some(json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
        );
        check("segment:0", json!("/users/41/logout"), Some(json!("users")));
        check("segment:1", json!("users/41/logout"), Some(json!("41")));
        check("segment:-1", json!("users/41/logout/"), Some(json!("logout")));
        check("segment:-3", json!("users/41/logout"), Some(json!("users")));
        check("segment:3", json!("users/41/logout"), None);
        check("segment:-4", json!("users/41/logout"), None);
        check("segment:-2147483648", json!("a"), None);
        check("segment:0", json!("///"), None);
        check("strip_prefix:urn:x:", json!("urn:x:y"), Some(json!("y")));
        check("strip_prefix:z", json!("urn"), Some(json!("urn")));
        check("strip_prefix:urn", json!("urn"), None);
        check("strip_suffix:.v1", json!("a.v1"), Some(json!("a")));
        check("prefix_before:@", json!("kim@a@b"), Some(json!("kim")));
        check("prefix_before:@", json!("kim"), None);
        check("suffix_after:.", json!("user.mfa.activate"), Some(json!("activate")));
        check("suffix_after:.", json!("activate"), None);
        check("suffix_after:.", json!("a."), None);
        check("email", json!("kim@corp.example"), Some(json!("kim@corp.example")));
        check("email", json!("kim"), None);
        check("email", json!("kim @corp.example"), None);
        check("nonzero_uuid", json!("00000000-0000-0000-0000-000000000000"), None);
        check("nonzero_uuid", json!("s-88"), Some(json!("s-88")));
        check("not_uuid", json!("8edf9283-99e9-4135-a72b-fc0402eefcbe"), None);
        check("not_uuid", json!("8EDF9283-99E9-4135-A72B-FC0402EEFCBE"), None);
        check(
            "not_uuid",
            json!("J1VH_mlHDNsXQB1Sd0cxDpt3"),
            Some(json!("J1VH_mlHDNsXQB1Sd0cxDpt3")),
        );
        check("string", json!(41), Some(json!("41")));
        check("string", json!(true), Some(json!("true")));
        check("string", json!(1.5), Some(json!("1.5")));
        check("string", json!({}), None);
        check("string", json!(null), None);
        check("string", json!(""), None);
    }

    #[test]
    fn functions_follow_one_another_and_reach_the_elements_of_a_list() {
        check("segment:-1|urldecode|upper", json!("/u/a%7Cb"), Some(json!("A|B")));
        check("lower", json!(["A", 1, null, "B"]), Some(json!(["a", "1", "b"])));
        check("email", json!(["a", "b"]), None);
        check("string", json!("x".repeat(TEXT_BYTES_MAX + 1)), None);
        check("lower", json!([]), None);
    }

    #[test]
    fn a_function_that_is_none_is_refused() {
        for (text, reason) in [
            ("lowercase", "is not a function"),
            ("", "is not a function"),
            ("segment", "needs an argument"),
            ("segment:x", "needs a position"),
            ("strip_prefix:", "needs an argument"),
            ("lower:x", "takes no argument"),
            ("lower|lower|lower|lower|lower|lower|lower|lower|lower", "more than 8"),
        ] {
            let error = Function::list(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
