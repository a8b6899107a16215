//! Keys, and what is made with them: claims become signed SETs, keys become a public JWK Set. Keys
//! are read once; nothing here does IO or knows the time.

pub mod algorithm;
mod der;
pub mod generate;
pub mod jwks;
pub mod jws;
pub mod key_ring;
pub mod keys;
pub mod verify;

/// The media type in the header of every SET, without the prefix `application/` (RFC 8417 §2.3).
pub const SET_TYPE: &str = "secevent+jwt";

/// The least size of an RSA modulus (RFC 7518 §3.3).
pub const RSA_BITS_MIN: usize = 2048;
