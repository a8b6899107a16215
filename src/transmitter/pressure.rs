//! How much waits for the Receivers of each provider, and what is taken of its publishers by that.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::domain::id::ProviderName;

/// The events that are accepted at present. The variants are in the order in which publishers are
/// refused: first those that can be told at once, then those whose events wait in Redis. Polls,
/// pushes, acknowledgements and verifications are never refused because of the backlog, because
/// they reduce it or leave it unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Taken {
    #[default]
    All,
    /// No events over HTTP.
    Redis,
    Nothing,
}

impl Taken {
    /// By the number of SETs that wait and the most that may, 0 if there is no such bound. Over HTTP
    /// nothing is taken beyond nine tenths of it.
    pub fn by(waiting: u64, max: u64) -> Self {
        match waiting {
            _ if max == 0 => Self::All,
            _ if max <= waiting => Self::Nothing,
            _ if max - max.div_ceil(10) <= waiting => Self::Redis,
            _ => Self::All,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Redis => "redis",
            Self::Nothing => "nothing",
        }
    }
}

/// The events that are accepted from each provider's publishers, by the last count of the backlog.
#[derive(Debug, Default)]
pub struct Pressure(watch::Sender<BTreeMap<ProviderName, Taken>>);

impl Pressure {
    pub fn taken(&self, provider: &ProviderName) -> Taken {
        self.0.borrow().get(provider).copied().unwrap_or_default()
    }

    /// Returns what was taken before, if that is not the same.
    pub fn set(&self, provider: &ProviderName, taken: Taken) -> Option<Taken> {
        let before = self.taken(provider);
        let changes = before != taken;
        if changes {
            self.0.send_modify(|all| _ = all.insert(provider.clone(), taken));
        }
        changes.then_some(before)
    }

    /// Returns once events are taken from Redis.
    pub async fn lets_read(&self, provider: &ProviderName) {
        let reads = |all: &BTreeMap<_, _>| all.get(provider) != Some(&Taken::Nothing);
        // The sender is in our hands.
        self.0.subscribe().wait_for(reads).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[track_caller]
    fn check(waiting: u64, max: u64, taken: Taken) {
        assert_eq!(Taken::by(waiting, max), taken, "{waiting} of {max}");
    }

    #[test]
    fn http_is_refused_before_redis_is_read_no_more() {
        check(u64::MAX, 0, Taken::All);
        check(899, 1000, Taken::All);
        check(900, 1000, Taken::Redis);
        check(999, 1000, Taken::Redis);
        check(1000, 1000, Taken::Nothing);
        check(0, 1, Taken::Redis);
    }

    #[test]
    fn each_provider_has_a_pressure_of_its_own() {
        let pressure = Pressure::default();
        let [one, other] = ["one", "other"].map(|name| name.parse().expect("a valid name"));
        assert_eq!(pressure.set(&one, Taken::Nothing), Some(Taken::All));
        assert_eq!(pressure.set(&one, Taken::Nothing), None);
        assert!(pressure.lets_read(&one).now_or_never().is_none());
        assert!(pressure.lets_read(&other).now_or_never().is_some());
        assert_eq!(pressure.set(&one, Taken::Redis), Some(Taken::Nothing));
        assert!(pressure.lets_read(&one).now_or_never().is_some());
    }
}
