//! File descriptors: how many there may be, and how many of them the connections of strangers may take.

use rlimit::Resource;

use crate::{config::Config, http::settings::ConnectionSettings};

/// The descriptors of everything that is neither a connection to a listener nor one to a push endpoint:
/// the store, the publishers' Redis, the log, and files that are read now and then.
const RESERVE: u64 = 128;

/// The descriptors of each thread that waits for sockets.
const PER_THREAD: u64 = 4;

/// A connection of a listener has a second handle, by which it is closed.
const PER_CONNECTION: u64 = 2;

/// The share of pushes in what is left.
const PUSH_SHARE: u64 = 4;

/// The share of the internal listener in what is left.
const INTERNAL_SHARE: u64 = 8;

/// With fewer descriptors besides the reserve, the daemon does not start.
const LEAST: u64 = 64;

/// The limit of open files is too low to serve anybody.
#[derive(Debug, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, and at least {needed} are needed; raise it with \
     `LimitNOFILE` or `ulimit -n`"
)]
pub struct TooFewDescriptors {
    limit: u64,
    needed: u64,
}

/// The most connections of each listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Connections {
    public: usize,
    internal: usize,
}

/// Raises the limit of this process as far as the system allows, and lowers the bounds on connections to
/// what it has room for, so that no stranger takes the descriptors of the store, of pushes and of the
/// internal listener. A bound that cannot hold is named in the log.
pub(super) fn fit(config: &mut Config, threads: usize) -> Result<(), TooFewDescriptors> {
    let limit = match raise_limit() {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files is not known");
            return Ok(());
        }
    };
    let wanted = Connections {
        public: config.public.connections.max,
        internal: config.internal.connections.max,
    };
    let reserve = RESERVE + PER_THREAD * threads as u64;
    let left = limit.saturating_sub(reserve);
    if left < LEAST {
        return Err(TooFewDescriptors { limit, needed: reserve + LEAST });
    }
    let Connections { public, internal } = divide(left, wanted);
    let needed = reserve + needed(wanted);
    let lower = |key: &'static str, connections: &mut ConnectionSettings, max: usize| {
        if max < connections.max {
            tracing::warn!(
                key,
                configured = connections.max,
                max,
                limit,
                needed,
                "a bound is lowered to fit the limit of open files; raise it with LimitNOFILE or ulimit -n"
            );
            connections.max = max;
        }
    };
    lower("public.connections.max", &mut config.public.connections, public);
    lower("internal.connections.max", &mut config.internal.connections, internal);
    Ok(())
}

/// Returns the limit. A process starts with a low soft limit, for the sake of old programs, and may raise
/// it to the hard one.
fn raise_limit() -> std::io::Result<u64> {
    let (soft, hard) = Resource::NOFILE.get()?;
    // Where the system forbids the call, the soft limit stays.
    if soft < hard && Resource::NOFILE.set(hard, hard).is_ok() {
        return Ok(hard);
    }
    Ok(soft)
}

/// Divides descriptors. The public listener gets what the others leave.
fn divide(left: u64, wanted: Connections) -> Connections {
    let connections = |descriptors: u64, wanted: usize| {
        let room = usize::try_from(descriptors / PER_CONNECTION).unwrap_or(usize::MAX);
        wanted.min(room)
    };
    let internal = connections(left / INTERNAL_SHARE, wanted.internal);
    let public = left - left / PUSH_SHARE - internal as u64 * PER_CONNECTION;
    Connections { public: connections(public, wanted.public), internal }
}

/// Returns how many descriptors [`divide`] must have so that both bounds hold.
fn needed(wanted: Connections) -> u64 {
    let public = wanted.public as u64 * PER_CONNECTION;
    let internal = wanted.internal as u64 * PER_CONNECTION;
    let both = (public + internal).saturating_mul(PUSH_SHARE).div_ceil(PUSH_SHARE - 1);
    both.max(internal.saturating_mul(INTERNAL_SHARE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Connections = Connections { public: 10_000, internal: 1000 };

    #[test]
    fn a_low_limit_leaves_room_for_pushes_and_operators() {
        assert_eq!(divide(872, DEFAULTS), Connections { public: 273, internal: 54 });
        assert_eq!(divide(LEAST, DEFAULTS), Connections { public: 20, internal: 4 });
        assert_eq!(divide(1 << 20, DEFAULTS), DEFAULTS);
        let few = Connections { public: 10, internal: 2 };
        assert_eq!(divide(872, few), few);
    }

    #[test]
    fn the_named_limit_is_enough_and_one_less_is_not() {
        for wanted in [DEFAULTS, Connections { public: 10, internal: 400 }] {
            assert_eq!(divide(needed(wanted), wanted), wanted);
            // Two descriptors make one connection.
            assert_ne!(divide(needed(wanted) - PER_CONNECTION * 2, wanted), wanted);
        }
    }
}
