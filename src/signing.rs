//! Signing keys, and what is made with them: signed SETs and the public JWK Set. Nothing here does IO
//! or reads the clock.
//!
//! - [`keys::SigningKey`] is one private key, parsed once. `der` reads as much of its encoding as the
//!   crypto library does not tell. [`generate`] makes new keys.
//! - [`certificate`] reads a certificate chain with its private key, for whoever speaks TLS.
//! - [`jws`] turns claims into a compact JWS, and [`jwks`] turns keys into the JWK Set.
//! - [`key_ring::KeyRing`] holds the keys of one provider: the one that signs, and those that are only
//!   published. [`key_ring::KeyRings`] holds the rings of all providers.
//! - [`material::Material`] is one complete set of key material: all key rings and the certificate of
//!   the public listener. Whatever signs, publishes keys or speaks TLS reads it through
//!   [`material::CurrentMaterial`], so that it can be replaced while the daemon runs.
//! - [`jwt`] and [`verification_keys`] read the JWTs and the JWK Sets of other parties, with the
//!   algorithms of [`jws_algorithm`]. Access tokens and SETs are read alike.
//! - [`verify::Verifier`] is the Receiver's side: it verifies a SET with a JWK Set. The daemon does not
//!   need it; the command line and the tests do.
//!
//! ```text
//! files ─▶ SigningKey ─▶ KeyRing ─▶ KeyRings ┐
//!                                             ├▶ Material ─▶ CurrentMaterial ─▶ signer, JWK Set, TLS
//! files ─▶ certificate ──────────────────────┘
//! ```

pub mod algorithm;
pub mod certificate;
mod der;
pub mod generate;
pub mod jwks;
pub mod jws;
pub mod jws_algorithm;
pub mod jwt;
pub mod key_ring;
pub mod keys;
pub mod material;
pub mod verification_keys;
pub mod verify;

/// The media type in the header of every SET, without the prefix `application/` (RFC 8417 §2.3).
pub const SET_TYPE: &str = "secevent+jwt";

/// The smallest size of an RSA modulus, in bits (RFC 7518 §3.3).
pub const RSA_BITS_MIN: usize = 2048;
