//! File descriptors: how many there may be, and how many of them the connections of strangers may take.

use rlimit::Resource;

use crate::config::Config;

/// The descriptors of everything that is neither a connection to a listener nor one to a push endpoint:
/// the store, the publishers' Redis, the log, and files that are read now and then.
const RESERVE: u64 = 128;

/// The most look-ups that count. More at a time are rare, and one that finds no descriptor is made again.
const LOOK_UPS_COUNTED: u64 = 32;

/// The descriptors of each thread that waits for sockets.
const PER_THREAD: u64 = 4;

/// A connection of a listener has a second handle, by which it is closed.
const PER_CONNECTION: u64 = 2;

/// The share that pushes have at least, of what is left besides the internal listener, if not all that are
/// wanted fit.
const PUSH_SHARE: u64 = 4;

/// A connection that is opened to a Receiver may have a look-up of its name before, with a socket for each
/// version of IP.
const PER_LOOK_UP: u64 = 2;

/// The share of the internal listener in what is left.
const INTERNAL_SHARE: u64 = 8;

/// The share of the sources' listener in what is left, if there is one.
const SOURCES_SHARE: u64 = 8;

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

/// The most connections of each listener, and to Receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Connections {
    public: usize,
    internal: usize,
    /// 0 if the sources have no listener of their own.
    sources: usize,
    push: usize,
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
        sources: config.sources.listen.map_or(0, |_| config.sources.connections.max),
        push: config.push.connections_max,
    };
    let look_ups = (config.push.dns.look_ups_max as u64).min(LOOK_UPS_COUNTED);
    let reserve = RESERVE + PER_THREAD * threads as u64 + PER_LOOK_UP * look_ups;
    let left = limit.saturating_sub(reserve);
    if left < LEAST {
        return Err(TooFewDescriptors { limit, needed: reserve + LEAST });
    }
    let Connections { public, internal, sources, push } = divide(left, wanted);
    let needed = reserve + needed(wanted);
    let lower = |key: &'static str, bound: &mut usize, max: usize| {
        if max < *bound {
            tracing::warn!(
                key,
                configured = *bound,
                max,
                limit,
                needed,
                "a bound is lowered to fit the limit of open files; raise it with LimitNOFILE or ulimit -n"
            );
            *bound = max;
        }
    };
    lower("public.connections.max", &mut config.public.connections.max, public);
    lower("internal.connections.max", &mut config.internal.connections.max, internal);
    if config.sources.listen.is_some() {
        lower("sources.connections.max", &mut config.sources.connections.max, sources);
    }
    lower("push.connections_max", &mut config.push.connections_max, push);
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

/// Divides descriptors. Pushes get what the listeners leave and at least their share, and the public listener
/// gets the rest.
fn divide(left: u64, wanted: Connections) -> Connections {
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let connections =
        |descriptors: u64, wanted: usize| wanted.min(count(descriptors / PER_CONNECTION));
    let internal = connections(left / INTERNAL_SHARE, wanted.internal);
    let sources = connections(left / SOURCES_SHARE, wanted.sources);
    let rest = left - (internal + sources) as u64 * PER_CONNECTION;
    let public = wanted.public as u64 * PER_CONNECTION;
    let push = wanted.push.min(count(rest.saturating_sub(public).max(rest / PUSH_SHARE)));
    let public = connections(rest - push as u64, wanted.public);
    Connections { public, internal, sources, push }
}

/// Returns how many descriptors [`divide`] must have so that all bounds hold.
fn needed(wanted: Connections) -> u64 {
    let Connections { public, internal, sources, push } = wanted;
    let all = [public, internal, sources].map(|connections| connections as u64);
    let all = all.into_iter().fold(0, u64::saturating_add).saturating_mul(PER_CONNECTION);
    let internal = (internal as u64).saturating_mul(PER_CONNECTION * INTERNAL_SHARE);
    let sources = (sources as u64).saturating_mul(PER_CONNECTION * SOURCES_SHARE);
    all.saturating_add(push as u64).max(internal).max(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Connections =
        Connections { public: 10_000, internal: 1000, sources: 0, push: 4096 };

    #[test]
    fn a_low_limit_leaves_room_for_pushes_and_operators() {
        let divided = |left, wanted| {
            let Connections { public, internal, push, .. } = divide(left, wanted);
            (public, internal, push)
        };
        assert_eq!(divided(872, DEFAULTS), (286, 54, 191));
        assert_eq!(divided(LEAST, DEFAULTS), (21, 4, 14));
        assert_eq!(divide(1 << 20, DEFAULTS), DEFAULTS);
        let few = Connections { public: 10, internal: 2, sources: 3, push: 5 };
        assert_eq!(divide(872, few), few);
        // The room that one does not want is for the others.
        assert_eq!(divided(872, Connections { public: 10, ..DEFAULTS }), (10, 54, 744));
        assert_eq!(divided(872, Connections { push: 10, ..DEFAULTS }), (377, 54, 10));
    }

    #[test]
    fn what_is_divided_is_there_whatever_is_wanted() {
        for left in LEAST..2000 {
            for wanted in [
                DEFAULTS,
                Connections { sources: 1000, ..DEFAULTS },
                Connections { public: 1, internal: 1, sources: 0, push: 9000 },
            ] {
                let Connections { public, internal, sources, push } = divide(left, wanted);
                assert_eq!(sources == 0, wanted.sources == 0, "{left}");
                let used = (public + internal + sources) as u64 * PER_CONNECTION + push as u64;
                assert!(used <= left && 0 < push && 0 < public && 0 < internal, "{left}");
            }
        }
    }

    #[test]
    fn the_named_limit_is_enough_and_one_less_is_not() {
        for wanted in [
            DEFAULTS,
            Connections { public: 10, internal: 400, sources: 0, push: 1 },
            Connections { public: 10, internal: 4, sources: 0, push: 5000 },
            Connections { public: 10, internal: 4, sources: 500, push: 1 },
        ] {
            assert_eq!(divide(needed(wanted), wanted), wanted);
            // Two descriptors make one connection.
            assert_ne!(divide(needed(wanted) - PER_CONNECTION * 2, wanted), wanted);
        }
    }
}
