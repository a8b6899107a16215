//! The settings that a kind of source demands, fixes or has no use for.

use serde_json::{Map, Value};

use super::{AuthSettings, BoundSettings, SchemeName, SourceMistake, TokenIn, from_value, mistake};
use crate::source::Kind;

/// The keys of a source's table about the answers, which a protocol fixes.
const ANSWERS: [&str; 4] = ["handshake", "answer", "answer_body", "malformed_answer"];

impl Kind {
    /// Reads the kind from the table of a source, or else from that of its preset.
    pub(super) fn of(
        own: &Map<String, Value>,
        preset: &Map<String, Value>,
    ) -> Result<Self, SourceMistake> {
        let named = own.get("kind").or_else(|| preset.get("kind"));
        named.map_or(Ok(Self::default()), |name| from_value("kind", name.clone()))
    }

    /// Checks the settings of a source of this kind, and sets the answers that its protocol fixes.
    pub(super) fn apply(
        self,
        own: &Map<String, Value>,
        auth: Option<&AuthSettings>,
        redis_key: Option<&str>,
        bounds: &mut BoundSettings,
    ) -> Result<(), SourceMistake> {
        let Some(answer) = self.answer() else { return Ok(()) };
        let with = format!("with `kind = \"{}\"`", self.as_str());
        if let Some(key) = ANSWERS.into_iter().find(|key| own.contains_key(*key)) {
            let rule = format!("has no meaning {with}, whose answers are fixed; remove it");
            return mistake(key, rule);
        }
        bounds.answer = answer;
        let Some(auth) = auth.filter(|_| redis_key.is_none()) else {
            let rule = format!("has no meaning {with}, because a token is verified as it comes");
            return mistake("redis_key", rule);
        };
        if auth.scheme != SchemeName::Jwt {
            return mistake("auth.scheme", format!("must be \"jwt\" {with}"));
        }
        let (place, name) = match self {
            Self::Native => return Ok(()),
            Self::LogoutToken => (TokenIn::Form, "form"),
            Self::Set => (TokenIn::Body, "body"),
        };
        if auth.token_in != place {
            return mistake("auth.token_in", format!("must be \"{name}\" {with}"));
        }
        for (key, value, which) in [
            ("auth.issuer", &auth.issuer, "`iss` that the sender uses"),
            ("auth.audience", &auth.audience, "`aud` by which the sender means this daemon"),
        ] {
            if value.as_ref().is_none_or(String::is_empty) {
                return mistake(key, format!("must be the {which}, {with}"));
            }
        }
        Ok(())
    }
}
