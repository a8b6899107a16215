//! What goes out, what polls say of it, and what waits.

use crate::{
    delivery::outbox::PendingSet,
    domain::{
        id::{Jti, ProviderName},
        set_error::{ErrCode, SetError},
        time::Timestamp,
    },
};

/// What a push stream can send now.
#[derive(Debug, Clone, Default)]
pub struct Due {
    /// Of each kind first those that failed before, then those that were never tried.
    pub sets: Vec<PendingSet>,
    /// When the next of the SETs that failed before is due that is not yet.
    pub next_retry: Option<Timestamp>,
    /// How many were found to be about subjects that are not on the stream any more.
    pub discarded: usize,
}

/// SETs handed to a polling Receiver.
#[derive(Debug, Clone, Default)]
pub struct Polled {
    pub sets: Vec<PendingSet>,
    /// Whether there are more that could be handed out now.
    pub more: bool,
    /// As [`Due::discarded`].
    pub discarded: usize,
}

/// What a Receiver says of SETs it got by poll (RFC 8936 §2.2).
#[derive(Debug, Clone, Default)]
pub struct Acknowledgement {
    pub acked: Vec<Jti>,
    pub refused: Vec<(Jti, SetError)>,
}

/// The SETs that waited for a poll's acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acknowledged {
    /// When each that is now delivered was appended.
    pub delivered: Vec<Timestamp>,
    /// By which `err` each that is now dead was refused.
    pub dead: Vec<ErrCode>,
}

/// What waits for the Receivers of one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    pub provider: ProviderName,
    pub sets: u64,
    pub oldest: Option<Timestamp>,
}

/// What waits on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    pub sets: u64,
    pub oldest: Option<Timestamp>,
}
