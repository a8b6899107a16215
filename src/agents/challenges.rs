//! Challenges: made for whoever asks, and known again by our signature.
//!
//! A challenge is signed with the key that signs the SETs of the provider, because that key is there
//! already, is published at `jwks_uri`, and changes as SETs need it. An earlier key that the provider still
//! lists is good for the challenges that it signed. A `typ` of its own keeps a challenge from standing for
//! a SET.
//!
//! Nothing is stored when a challenge is made, and no device is looked up: the answer is the same for a
//! device that exists and for one that does not, and a stranger who asks for challenges fills no store.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{Agents, RETRY_AFTER};
use crate::{
    clock,
    domain::{
        id::DeviceId,
        posture::{CHALLENGE_TYPE, Challenge, Refusal},
        time::Timestamp,
    },
    signing::{jwt::CompactJws, verification_keys::VerificationKeys},
};

/// The values of the label `outcome` of requests for a challenge.
pub(super) const OUTCOMES: [&str; 2] = ["issued", "overload"];

/// Why there is no challenge at present.
#[derive(Debug, thiserror::Error)]
pub enum ChallengeError {
    #[error("too many requests are worked on")]
    Overload { wait: Duration },
    #[error("signing failed")]
    Signing,
}

impl Agents {
    /// Makes a challenge for a device, whether or not it exists.
    pub async fn challenge(
        self: &Arc<Self>,
        device: DeviceId,
        now: Timestamp,
    ) -> Result<String, ChallengeError> {
        let Ok(_permit) = self.in_flight.try_acquire() else {
            self.count_request("challenge", "overload", 1);
            return Err(ChallengeError::Overload { wait: RETRY_AFTER });
        };
        let issued_at = Timestamp::from_millis(now.as_secs() * 1000);
        let challenge = Challenge {
            atc: random_text(),
            issuer: self.parts.provider.issuer.as_str().to_owned(),
            agents: self.parts.name.clone(),
            device,
            issued_at,
            expires_at: issued_at + self.parts.config.challenge_lifetime,
        };
        let signed = self.sign(challenge.claims()).await.ok_or(ChallengeError::Signing)?;
        self.count_request("challenge", "issued", 1);
        Ok(String::from_utf8_lossy(&signed).into_owned())
    }

    async fn sign(self: &Arc<Self>, claims: String) -> Option<Bytes> {
        let (material, this) = (self.services.material.get(), Arc::clone(self));
        let sign = move || {
            let ring = material.key_rings.get(&this.parts.provider.name)?;
            let signed = ring.signer().sign_typed(CHALLENGE_TYPE, &claims);
            signed.inspect_err(|error| tracing::error!(%error, "a challenge was not signed")).ok()
        };
        let material = self.services.material.get();
        let ring = material.key_rings.get(&self.parts.provider.name)?;
        if ring.signer().algorithm().is_quick() {
            return sign();
        }
        // Other requests are not to wait for the signature.
        spawn_blocking(sign).await.ok()?
    }

    /// Reads a challenge that an agent sent back, if it is one of ours.
    pub(super) fn own_challenge(&self, text: &str) -> Result<Challenge, Refusal> {
        let material = self.services.material.get();
        let ring = material.key_rings.get(&self.parts.provider.name).ok_or(Refusal::Challenge)?;
        opened(text, ring.verification_keys())
    }
}

/// Returns 244 random bits as text.
fn random_text() -> String {
    let (one, two) = (clock::random_uuid().simple(), clock::random_uuid().simple());
    format!("{one}{two}")
}

/// Reads a challenge that one of these keys signed.
fn opened(text: &str, keys: &VerificationKeys) -> Result<Challenge, Refusal> {
    let jws = CompactJws::parse(text).map_err(|_| Refusal::Challenge)?;
    let (Some(kid), Some(algorithm)) = (jws.kid(), jws.algorithm()) else {
        return Err(Refusal::Challenge);
    };
    let is_ours = jws.is_of_type(CHALLENGE_TYPE)
        && !jws.requires_extensions()
        && keys.named(kid).any(|key| jws.is_signed_by(key, algorithm));
    if !is_ours {
        return Err(Refusal::Challenge);
    }
    Challenge::read(jws.claims().ok_or(Refusal::Challenge)?)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;
    use crate::signing::{SET_TYPE, algorithm::Algorithm, key_ring::KeyRing, keys::SigningKey};

    fn challenge() -> Challenge {
        Challenge {
            atc: random_text(),
            issuer: "https://tx.example".to_owned(),
            agents: "laptops".parse().expect("a name"),
            device: "dev-1".parse().expect("an id"),
            issued_at: Timestamp::from_millis(1_775_000_000_000),
            expires_at: Timestamp::from_millis(1_775_000_300_000),
        }
    }

    fn signed(key: &SigningKey, typ: &'static str, claims: &str) -> String {
        let signed = key.sign_typed(typ, claims).expect("signed");
        String::from_utf8(signed.to_vec()).expect("ASCII")
    }

    #[test]
    fn our_own_challenge_is_known_again_whichever_key_of_the_ring_signed_it() {
        let keys = [Algorithm::Es256, Algorithm::Rs256].map(SigningKey::example);
        let ring = KeyRing::new(keys.into()).expect("valid");
        for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
            let made = challenge();
            let text = signed(&SigningKey::example(algorithm), CHALLENGE_TYPE, &made.claims());
            assert_eq!(opened(&text, ring.verification_keys()), Ok(made));
        }
    }

    #[test]
    fn no_other_text_is_a_challenge_of_ours() {
        let ring = KeyRing::new(vec![SigningKey::example(Algorithm::Es256)]).expect("valid");
        let (ours, theirs) =
            (SigningKey::example(Algorithm::Es256), SigningKey::example(Algorithm::EdDsa));
        let claims = challenge().claims();
        let good = signed(&ours, CHALLENGE_TYPE, &claims);
        let [header, payload, signature] =
            <[&str; 3]>::try_from(good.split('.').collect::<Vec<_>>()).expect("three parts");
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let none =
            encode(&format!(r#"{{"typ":"{CHALLENGE_TYPE}","alg":"none","kid":"{}"}}"#, ours.kid()));
        let other = encode(&challenge().claims());
        for text in [
            signed(&ours, SET_TYPE, &claims),
            signed(&theirs, CHALLENGE_TYPE, &claims),
            signed(&ours, CHALLENGE_TYPE, r#"{"atc":"x"}"#),
            signed(&ours, CHALLENGE_TYPE, "[]"),
            format!("{header}.{payload}."),
            format!("{none}.{payload}."),
            format!("{none}.{payload}.{signature}"),
            format!("{header}.{other}.{signature}"),
            good[..good.len() - 1].to_owned(),
            good[1..].to_owned(),
            format!("{good}."),
            String::new(),
        ] {
            assert_eq!(opened(&text, ring.verification_keys()), Err(Refusal::Challenge), "{text}");
        }
        assert!(opened(&good, ring.verification_keys()).is_ok());
    }

    #[test]
    fn no_two_challenges_are_the_same() {
        assert_ne!(random_text(), random_text());
        assert!(64 <= random_text().len());
    }
}
