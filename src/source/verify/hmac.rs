//! An HMAC of the raw body in a header, with or without a time that is signed along.

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    hmac::{self, Algorithm, Context, Key},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{Refusal, judge_time, required_text, secrets::SharedSecret};
use crate::{domain::time::Timestamp, source::request::SourceRequest};

/// The most signatures that one header may list. A sender lists one for each of its secrets.
const SIGNATURES_MAX: usize = 16;

/// The hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    /// Some old senders have nothing else. HMAC does not depend on the weakness of SHA-1.
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

/// How the signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// In either case.
    #[default]
    Hex,
    Base64,
}

/// The unit of the time in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    Seconds,
    Millis,
}

/// A signature that covers a time: the header is a list such as `t=1775000000,v1=5257a8…`, and
/// `<t>.<body>` is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamped {
    pub unit: TimeUnit,
    /// The largest distance of the time from ours.
    pub tolerance: std::time::Duration,
}

/// Verifies the signature with each of the keys.
pub struct Hmac {
    header: String,
    /// The text before the signature, for example `sha256=`.
    prefix: String,
    encoding: Encoding,
    timestamped: Option<Timestamped>,
    keys: Vec<Key>,
}

impl Hash {
    fn algorithm(self) -> Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn key(self, secret: &[u8]) -> Key {
        Key::new(self.algorithm(), secret)
    }
}

impl Encoding {
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => from_hex(text),
            Self::Base64 => STANDARD.decode(text).ok(),
        }
    }

    pub(super) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => to_hex(bytes),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }
}

impl Hmac {
    pub fn new(
        header: String,
        prefix: String,
        (hash, encoding): (Hash, Encoding),
        timestamped: Option<Timestamped>,
        secrets: &[SharedSecret],
    ) -> Self {
        let keys = secrets.iter().map(|secret| hash.key(secret.bytes())).collect();
        Self { header, prefix, encoding, timestamped, keys }
    }

    pub(super) fn verify(&self, request: &SourceRequest, now: Timestamp) -> Result<(), Refusal> {
        let value = required_text(request, &self.header)?.trim();
        let Some(timestamped) = self.timestamped else {
            let shown = value.strip_prefix(&self.prefix).ok_or(Refusal::Malformed)?;
            return self.judge(&[shown], "", &request.body);
        };
        let (time, shown) = list(value)?;
        let number: i64 = time.parse().map_err(|_| Refusal::Malformed)?;
        let signed = match timestamped.unit {
            TimeUnit::Seconds => Timestamp::from_millis(number.saturating_mul(1000)),
            TimeUnit::Millis => Timestamp::from_millis(number),
        };
        // The signature is judged first, so that nobody learns our clock without the secret.
        self.judge(&shown, &format!("{time}."), &request.body)?;
        judge_time(signed, now, timestamped.tolerance)
    }

    /// Tells whether one of the signatures is that of one of the keys.
    fn judge(&self, shown: &[&str], before: &str, body: &[u8]) -> Result<(), Refusal> {
        let decoded: Option<Vec<_>> = shown.iter().map(|one| self.encoding.decode(one)).collect();
        let decoded = decoded.ok_or(Refusal::Malformed)?;
        let is_right = self.keys.iter().any(|key| {
            let tag = tag(key, &[before.as_bytes(), body]);
            decoded.iter().any(|one| verify_slices_are_equal(tag.as_ref(), one).is_ok())
        });
        if is_right { Ok(()) } else { Err(Refusal::Wrong) }
    }

    /// Signs a body as the sender does: the name and the value of the header.
    pub(super) fn sign(&self, body: &[u8], now: Timestamp) -> Option<(String, String)> {
        let key = self.keys.first()?;
        let value = match self.timestamped {
            None => {
                let tag = tag(key, &[body]);
                format!("{}{}", self.prefix, self.encoding.encode(tag.as_ref()))
            }
            Some(Timestamped { unit, .. }) => {
                let time = match unit {
                    TimeUnit::Seconds => now.as_secs(),
                    TimeUnit::Millis => now.as_millis(),
                };
                let tag = tag(key, &[format!("{time}.").as_bytes(), body]);
                format!("t={time},v1={}", self.encoding.encode(tag.as_ref()))
            }
        };
        Some((self.header.clone(), value))
    }
}

fn tag(key: &Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    context.sign()
}

/// Takes a list apart: the one time, and the signatures of version 1. Spaces around the commas are
/// allowed, and other versions are ignored.
fn list(value: &str) -> Result<(&str, Vec<&str>), Refusal> {
    let (mut time, mut shown) = (None, Vec::new());
    for part in value.split(',').map(str::trim) {
        match part.split_once('=') {
            Some(("t", at)) if time.is_none() => time = Some(at),
            Some(("t", _)) | None => return Err(Refusal::Malformed),
            Some(("v1", signature)) if shown.len() < SIGNATURES_MAX => shown.push(signature),
            Some(_) => {}
        }
    }
    let time = time.filter(|time| !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit()));
    match time {
        Some(time) if !shown.is_empty() => Ok((time, shown)),
        _ => Err(Refusal::Malformed),
    }
}

/// Reads hexadecimal digits in either case.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Writes hexadecimal digits in lower case.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
