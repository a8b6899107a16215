//! A name and a password (RFC 7617).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Refusal, required,
    secrets::{SharedSecret, is_any},
    static_header::credential,
};
use crate::source::request::SourceRequest;

/// Compares the credential of basic authentication.
pub struct Basic {
    /// Each is `name:password`.
    secrets: Vec<SharedSecret>,
}

impl Basic {
    /// Takes the name and the passwords that are valid.
    pub fn new(user: &str, passwords: &[SharedSecret]) -> Self {
        let whole =
            |password: &SharedSecret| SharedSecret::new(format!("{user}:{}", password.expose()));
        Self { secrets: passwords.iter().map(whole).collect() }
    }

    pub(super) fn verify(&self, request: &SourceRequest) -> Result<(), Refusal> {
        let shown = credential(required(request, "authorization")?, b"basic")?;
        let shown = STANDARD.decode(shown).map_err(|_| Refusal::Malformed)?;
        if !shown.contains(&b':') {
            return Err(Refusal::Malformed);
        }
        if is_any(&self.secrets, &shown) { Ok(()) } else { Err(Refusal::Wrong) }
    }

    pub(super) fn sign(&self) -> Option<(String, String)> {
        let credential = STANDARD.encode(self.secrets.first()?.bytes());
        Some(("authorization".to_owned(), format!("Basic {credential}")))
    }
}
