//! `ssfd receive`: a Receiver for tests and trials.

pub mod certificate;
