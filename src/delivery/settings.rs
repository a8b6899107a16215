//! The settings of delivery that an operator may change.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::delivery::{breaker::BreakerSettings, fault::FaultSettings, retry::RetryPolicy};

/// The bounds of streams' work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliverySettings {
    /// SETs of one stream in flight at a time, each of another lane. SETs that the Receiver has accepted
    /// count until that is recorded.
    pub in_flight_max: usize,
    /// SETs of one stream in memory at a time, each of another lane; all others wait in the store.
    pub window_max: usize,
    /// How far apart the attempts of a stream are while all fail, once as many have in a row as open the
    /// breaker: half as many are in flight at a time then, and in memory, and half of that with each
    /// further such row, down to one. What they take is left to streams that get their SETs across.
    #[serde(with = "humantime_serde")]
    pub failing_attempt_interval: Duration,
    /// Attempts at one host at a time, of all streams together.
    pub host_in_flight_max: usize,
    /// How long a stream's actor stays without anything to do.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// How often the store is searched for work whose wake-up was lost.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// How long after its first use a signing key may be unknown to a Receiver, if it followed another
    /// key. Until the Receiver has accepted a SET signed with it, a refusal with `invalid_request` or
    /// `invalid_key` is tried again.
    #[serde(with = "humantime_serde")]
    pub new_key_grace: Duration,
    pub retry: RetryPolicy,
    pub breaker: BreakerSettings,
    pub fault: FaultSettings,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            in_flight_max: 32,
            window_max: 256,
            failing_attempt_interval: Duration::from_millis(50),
            host_in_flight_max: 64,
            idle_timeout: Duration::from_secs(30),
            sweep_interval: Duration::from_secs(5),
            new_key_grace: Duration::from_mins(15),
            retry: RetryPolicy::default(),
            breaker: BreakerSettings::default(),
            fault: FaultSettings::default(),
        }
    }
}
