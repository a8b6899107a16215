//! How often callers may ask: one Receiver, one address, and one address with credentials that are
//! refused.
//!
//! Each request counts against one rate. A request without a credential counts for its address. A
//! request with a good credential counts for its Receiver, and against nothing that a stranger can use
//! up: a good credential is never refused because of bad ones. Only a token that is not known yet, and
//! that the authorization server would have to be asked about, competes with made-up tokens from its
//! own address. `second_try` keeps such a token from losing for long.
//!
//! Rates are kept by each node, in memory.

mod keyed;
mod second_try;
mod settings;

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use tokio::{sync::Semaphore, time::sleep};

pub use self::settings::RateSettings;
use self::{keyed::Keyed, second_try::SecondTry};
use super::Principal;
use crate::{
    clock,
    domain::{
        grant::TokenHash,
        id::{ProviderName, ReceiverId},
    },
    telemetry::{log_pace::LogPace, metrics},
};

/// The longest time that an answer 404 is held back. After it the answer is 429.
const HOLD_MAX: Duration = Duration::from_secs(2);
/// The most answers that are held back at a time. Further ones are answered 429 at once.
const HELD_MAX: usize = 256;
/// The shortest time between two log lines about one Receiver.
const LOG_INTERVAL: Duration = Duration::from_hours(1);
/// A caller that must wait is told to wait at least so long, because a shorter wait is not worth it.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// The rates of the daemon.
#[derive(Debug)]
pub struct Rates {
    receivers: Keyed<ReceiverKey>,
    anonymous: Keyed<Network>,
    refused: Keyed<Network>,
    second_tries: Keyed<Network>,
    absent: Keyed<ReceiverKey>,
    throttled: SecondTry,
    holding: Semaphore,
    told: LogPace<ReceiverKey>,
}

/// A rate is exceeded. The value is the time to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany(pub Duration);

/// One Receiver of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReceiverKey(ProviderName, ReceiverId);

impl ReceiverKey {
    pub fn new(provider: ProviderName, receiver: ReceiverId) -> Self {
        Self(provider, receiver)
    }
}

impl From<&Principal> for ReceiverKey {
    fn from(principal: &Principal) -> Self {
        Self::new(principal.provider.clone(), principal.receiver.clone())
    }
}

/// The addresses that count as one caller: an IPv4 address, or an IPv6 network of 64 bits, which is what
/// one customer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                Ipv6Addr::from(network).into()
            }
        })
    }
}

impl Rates {
    pub fn new(settings: &RateSettings) -> Self {
        for rate in ["receiver", "address", "refused", "absent"] {
            metrics::http_limited(rate, 0);
        }
        Self {
            receivers: Keyed::new(settings.receiver_per_second_max),
            anonymous: Keyed::new(settings.address_per_second_max),
            refused: Keyed::new(settings.refused_per_second_max),
            second_tries: Keyed::new(settings.refused_per_second_max),
            absent: Keyed::new(settings.absent_per_second_max),
            throttled: SecondTry::new(clock::instant()),
            holding: Semaphore::new(HELD_MAX),
            told: LogPace::new(LOG_INTERVAL),
        }
    }

    /// Counts a request with a good credential.
    pub fn admit_receiver(&self, receiver: &ReceiverKey) -> Result<(), TooMany> {
        counted("receiver", self.receivers.admit(receiver))
    }

    /// Counts a request without a credential.
    pub fn admit_anonymous(&self, from: IpAddr) -> Result<(), TooMany> {
        counted("address", self.anonymous.admit(&from.into()))
    }

    /// Counts a credential that was refused. The error stands in place of the refusal.
    pub fn admit_refused(&self, from: Option<IpAddr>) -> Result<(), TooMany> {
        let Some(from) = from else { return Ok(()) };
        counted("refused", self.refused.admit(&from.into()))
    }

    /// Counts a token about which somebody must be asked.
    pub(super) fn admit_unknown(
        &self,
        from: Option<IpAddr>,
        token: &TokenHash,
    ) -> Result<(), TooMany> {
        let Some(from) = from.map(Network::from) else { return Ok(()) };
        let Err(wait) = self.refused.admit(&from) else { return Ok(()) };
        if self.throttled.is_second_try(token, clock::instant())
            && self.second_tries.admit(&from).is_ok()
        {
            return Ok(());
        }
        counted("refused", Err(wait))
    }

    /// Holds back an answer 404 until its Receiver may have it. Some Receivers ask again at once and for
    /// ever for a stream that was deleted, whatever they are answered.
    pub async fn hold_absent(&self, receiver: &ReceiverKey) -> Result<(), TooMany> {
        let Err(mut wait) = self.absent.admit(receiver) else { return Ok(()) };
        let began = clock::instant();
        if self.told.admit(receiver.clone(), began).is_some() {
            let ReceiverKey(provider, receiver) = receiver;
            tracing::info!(
                %provider, %receiver,
                "a Receiver asks again and again for streams that it does not have; its answers are \
                 held back"
            );
        }
        let Ok(_held) = self.holding.try_acquire() else { return counted("absent", Err(wait)) };
        loop {
            sleep(wait).await;
            match self.absent.admit(receiver) {
                Ok(()) => return Ok(()),
                Err(_) if HOLD_MAX <= clock::instant().saturating_duration_since(began) => {
                    return counted("absent", Err(wait));
                }
                Err(next) => wait = next,
            }
        }
    }
}

fn counted(rate: &'static str, admitted: Result<(), Duration>) -> Result<(), TooMany> {
    admitted.map_err(|wait| {
        metrics::http_limited(rate, 1);
        TooMany(wait.max(WAIT_MIN))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(raw: &str) -> IpAddr {
        raw.parse().expect("an address")
    }

    /// Each rate is one in a second, so the second request is too many.
    fn strict() -> Rates {
        Rates::new(&RateSettings {
            receiver_per_second_max: 1,
            address_per_second_max: 1,
            refused_per_second_max: 1,
            absent_per_second_max: 1,
        })
    }

    #[test]
    fn addresses_of_one_customer_count_together() {
        let same =
            |one: &str, other: &str| Network::from(address(one)) == Network::from(address(other));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::9"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
    }

    #[test]
    fn a_caller_does_not_use_up_the_rate_of_another() {
        let rates = strict();
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(rates.admit_anonymous(one), Ok(()));
        let TooMany(wait) = rates.admit_anonymous(one).expect_err("too many");
        assert!(WAIT_MIN <= wait);
        assert_eq!(rates.admit_anonymous(other), Ok(()));
        assert_eq!(rates.admit_refused(Some(one)), Ok(()), "another rate");
        let key =
            |name: &str| ReceiverKey("acme".parse().expect("a name"), name.parse().expect("an id"));
        assert_eq!(rates.admit_receiver(&key("rx")), Ok(()));
        assert!(rates.admit_receiver(&key("rx")).is_err());
        assert_eq!(rates.admit_receiver(&key("other")), Ok(()));
    }

    #[test]
    fn without_an_address_and_with_a_rate_of_zero_nothing_is_limited() {
        let rates = strict();
        let settings = RateSettings { address_per_second_max: 0, ..RateSettings::default() };
        let open = Rates::new(&settings);
        for n in 0..10 {
            assert_eq!(rates.admit_refused(None), Ok(()));
            let token = TokenHash::from_hex(format!("{n:064}"));
            assert_eq!(rates.admit_unknown(None, &token), Ok(()));
            assert_eq!(open.admit_anonymous(address("192.0.2.1")), Ok(()));
        }
    }
}
