//! The signatures of Standard Webhooks 1.0, also by Svix.

use std::{fmt, time::Duration};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    hmac::{self, Context, HMAC_SHA256, Key},
    signature::{ED25519, ParsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Refusal, judge_time, required_text, secrets::SharedSecret};
use crate::{domain::time::Timestamp, source::request::SourceRequest};

/// The most signatures that one header may list.
const SIGNATURES_MAX: usize = 16;
/// The longest id of a message, in bytes.
const ID_LENGTH_MAX: usize = 256;

/// The prefixes of the three headers. Svix used its own before the standard.
const FAMILIES: [&str; 2] = ["webhook", "svix"];

/// A key that signs webhooks.
pub enum WebhookKey {
    /// `v1`: HMAC-SHA256. The secret is written as base64 behind `whsec_`.
    Symmetric(Box<Key>),
    /// `v1a`: Ed25519. The public key is written as base64 behind `whpk_`.
    Asymmetric(ParsedPublicKey),
}

/// A secret that is no key of Standard Webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookKeyError {
    #[error("is not base64 behind `whsec_` or `whpk_`")]
    NotBase64,
    #[error("is shorter than 16 bytes")]
    Short,
    #[error("is no public key of Ed25519")]
    NotAPoint,
    #[error("is a private key; give the public key, which begins with `whpk_`")]
    Private,
}

/// Verifies the signature with each of the keys.
pub struct StandardWebhooks {
    pub keys: Vec<WebhookKey>,
    /// The largest distance of the signed time from ours.
    pub tolerance: Duration,
}

/// The shortest secret. The standard asks for 24 bytes, and older senders have less.
const KEY_BYTES_MIN: usize = 16;

impl WebhookKey {
    pub fn parse(secret: &SharedSecret) -> Result<Self, WebhookKeyError> {
        let text = secret.expose();
        // Some senders write the version before the secret.
        let text = text.strip_prefix("v1,").or_else(|| text.strip_prefix("v1a,")).unwrap_or(text);
        if text.starts_with("whsk_") {
            return Err(WebhookKeyError::Private);
        }
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| WebhookKeyError::NotBase64);
        if let Some(point) = text.strip_prefix("whpk_") {
            let key = ParsedPublicKey::new(&ED25519, &decode(point)?);
            return key.map(Self::Asymmetric).map_err(|_| WebhookKeyError::NotAPoint);
        }
        let key = decode(text.strip_prefix("whsec_").unwrap_or(text))?;
        if key.len() < KEY_BYTES_MIN {
            return Err(WebhookKeyError::Short);
        }
        Ok(Self::Symmetric(Box::new(Key::new(HMAC_SHA256, &key))))
    }

    /// Tells whether this key made a signature of this version.
    fn verifies(&self, version: &str, signed: [&[u8]; 4], signature: &[u8]) -> bool {
        match (self, version) {
            (Self::Symmetric(key), "v1") => {
                let tag = tag(key, &signed);
                verify_slices_are_equal(tag.as_ref(), signature).is_ok()
            }
            (Self::Asymmetric(key), "v1a") => key.verify_sig(&signed.concat(), signature).is_ok(),
            _ => false,
        }
    }
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl StandardWebhooks {
    pub(super) fn verify(&self, request: &SourceRequest, now: Timestamp) -> Result<(), Refusal> {
        let family = FAMILIES
            .into_iter()
            .find(|family| !matches!(request.headers.one(&name(family, "signature")), Ok(None)))
            .ok_or(Refusal::Missing)?;
        let header = |part| required_text(request, &name(family, part));
        let (id, time, list) = (header("id")?, header("timestamp")?, header("signature")?);
        let digits = !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
        if id.is_empty() || ID_LENGTH_MAX < id.len() || !digits {
            return Err(Refusal::Malformed);
        }
        let secs: i64 = time.parse().map_err(|_| Refusal::Malformed)?;
        // The id has no full stop by the standard, so the three parts are clear.
        let before = format!("{id}.{time}");
        let signed = [before.as_bytes(), b".", &request.body[..], b""];
        let is_right = signatures(list)?.into_iter().any(|(version, signature)| {
            self.keys.iter().any(|key| key.verifies(version, signed, &signature))
        });
        if !is_right {
            return Err(Refusal::Wrong);
        }
        judge_time(Timestamp::from_millis(secs.saturating_mul(1000)), now, self.tolerance)
    }

    /// Signs a body as a sender with the first symmetric key does: the three headers.
    pub(super) fn sign(
        &self,
        id: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Option<Vec<(String, String)>> {
        let key = self.keys.iter().find_map(|key| match key {
            WebhookKey::Symmetric(key) => Some(key),
            WebhookKey::Asymmetric(_) => None,
        })?;
        let time = now.as_secs();
        let tag = tag(key, &[format!("{id}.{time}.").as_bytes(), body]);
        let signature = format!("v1,{}", STANDARD.encode(tag.as_ref()));
        Some(vec![
            ("webhook-id".to_owned(), id.to_owned()),
            ("webhook-timestamp".to_owned(), time.to_string()),
            ("webhook-signature".to_owned(), signature),
        ])
    }
}

fn name(family: &str, part: &str) -> String {
    format!("{family}-{part}")
}

/// Takes the list of signatures apart. The standard separates them by a space, and some senders by a comma
/// and a space. Signatures of unknown versions are left out.
fn signatures(list: &str) -> Result<Vec<(&str, Vec<u8>)>, Refusal> {
    let mut found = Vec::new();
    for entry in list.split_ascii_whitespace().take(SIGNATURES_MAX) {
        let entry = entry.trim_end_matches(',');
        let (version, signature) = entry.split_once(',').ok_or(Refusal::Malformed)?;
        if ["v1", "v1a"].contains(&version) {
            let signature = STANDARD.decode(signature).map_err(|_| Refusal::Malformed)?;
            found.push((version, signature));
        }
    }
    if found.is_empty() { Err(Refusal::Malformed) } else { Ok(found) }
}

fn tag(key: &Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    context.sign()
}
