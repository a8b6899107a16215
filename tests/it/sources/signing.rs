//! The signatures of senders, made without the code of the daemon.

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac::{HMAC_SHA256, Key, sign},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

/// The headers of a request.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// The names of the three headers of Standard Webhooks, and those of Svix.
pub(crate) const WEBHOOK: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
pub(crate) const SVIX: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Returns the HMAC-SHA256 of the parts, one behind the other.
pub(crate) fn tag(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), &parts.concat()).as_ref().to_vec()
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// Returns the credential of basic authentication.
pub(crate) fn basic(user: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")))
}

/// Returns the list `t=…, v1=…` of an HMAC that covers a time.
pub(crate) fn timed(secret: &str, time: i64, body: &str) -> String {
    let time = time.to_string();
    let tag = tag(secret.as_bytes(), &[time.as_bytes(), b".", body.as_bytes()]);
    format!("t={time}, v1={}", hex(&tag))
}

/// Returns the three headers of Standard Webhooks. The key is what `whsec_` stands before, decoded.
pub(crate) fn webhook(
    names: [&'static str; 3],
    key: &[u8],
    (message, secs): (&str, i64),
    body: &str,
) -> Headers {
    let tag = tag(key, &[format!("{message}.{secs}.").as_bytes(), body.as_bytes()]);
    let [id, at, signature] = names;
    // A first signature by another key, as while a key is changed.
    let signatures = format!("v1,AAAA v1,{}", STANDARD.encode(tag));
    vec![(id, message.to_owned()), (at, secs.to_string()), (signature, signatures)]
}

/// Returns a JWT with HS256.
pub(crate) fn jwt(secret: &str, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "HS256"})), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(tag(secret.as_bytes(), &[signed.as_bytes()]));
    format!("{signed}.{signature}")
}
