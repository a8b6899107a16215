//! The configuration of the rates.

use serde::{Deserialize, Serialize};

/// The most requests in a second, by caller; 0 means no limit. A caller that was quiet may send as many
/// at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateSettings {
    /// The requests of one Receiver, with any of its credentials.
    pub receiver_per_second_max: u32,
    /// The requests without a credential from one address.
    pub address_per_second_max: u32,
    /// The credentials from one address that are refused, or that the authorization server would have
    /// to be asked about. Known good credentials do not count.
    pub refused_per_second_max: u32,
    /// The answers 404 to one Receiver. Further ones are held back for up to two seconds, and are then
    /// answered 429.
    pub absent_per_second_max: u32,
}

impl Default for RateSettings {
    fn default() -> Self {
        Self {
            receiver_per_second_max: 5000,
            address_per_second_max: 2000,
            refused_per_second_max: 200,
            absent_per_second_max: 20,
        }
    }
}
