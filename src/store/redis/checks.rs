//! Checks whether a server is configured to keep its data.

use std::{collections::HashMap, time::Duration};

use redis::{FromRedisValue, RedisResult, Value};

use super::{
    connection::Connections,
    error::CannotConnect,
    settings::{Checks, RedisSettings},
};
use crate::{clock, domain::time::Timestamp, store::StoreError};

/// The settings and the version that a server reports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Facts {
    pub(super) version: String,
    /// The setting of the append-only file. `None` if the server does not tell.
    pub(super) appendonly: Option<String>,
    /// When the append-only file is written to the disk.
    pub(super) appendfsync: Option<String>,
    /// The setting of the snapshots.
    pub(super) save: Option<String>,
    /// The server's policy when its memory is full.
    pub(super) maxmemory_policy: Option<String>,
    pub(super) time: Timestamp,
}

/// A reason why a server is unsafe as a store. The text says how to remedy it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("it is version {0}, and 7.0 is the oldest that will do")]
    Version(String),
    #[error("it loses everything when it stops: set `appendonly yes`")]
    Persistence,
    #[error(
        "it forgets accepted events when its power is cut ({0}): set `appendonly yes` and `appendfsync always`, or wait for replicas with `store.redis.wait_replicas`, or accept the loss with `store.redis.accept_loss_at_power_cut`"
    )]
    PowerCut(String),
    #[error(
        "it removes what was not delivered when its memory is used up: set `maxmemory-policy noeviction`, not `{0}`"
    )]
    Eviction(String),
    #[error(
        "its clock is {0:?} from ours: keep both by NTP, or raise `store.redis.clock_skew_max`"
    )]
    Clock(Duration),
    #[error("it does not tell its {0}: allow us `CONFIG GET`")]
    Untold(&'static str),
}

/// Asks every server, and logs or refuses problems as the settings say. Returns what the servers may forget
/// of what was accepted.
pub(super) async fn check(
    connections: &Connections,
    settings: &RedisSettings,
) -> Result<Vec<String>, StoreError> {
    let mut facts: HashMap<String, Facts> = HashMap::new();
    for (server, answer) in connections.ask_each(redis::cmd("INFO").arg("server")).await? {
        let info = String::from_redis_value(answer)?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        let version = version.unwrap_or_default().trim().to_owned();
        facts.insert(server, Facts { version, ..Facts::default() });
    }
    for name in ["appendonly", "appendfsync", "save", "maxmemory-policy"] {
        // A user without permission for `CONFIG` gets no answer, and the missing check is logged.
        let asked = connections.ask_each(redis::cmd("CONFIG").arg("GET").arg(name)).await;
        for (server, answer) in asked.unwrap_or_default() {
            let value = HashMap::<String, String>::from_redis_value(answer)?.remove(name);
            let facts = facts.entry(server).or_default();
            match name {
                "appendonly" => facts.appendonly = value,
                "appendfsync" => facts.appendfsync = value,
                "save" => facts.save = value,
                _ => facts.maxmemory_policy = value,
            }
        }
    }
    let before = clock::now();
    let times = connections.ask_each(&redis::cmd("TIME")).await?;
    let asked = (before, clock::now());
    for (server, answer) in times {
        facts.entry(server).or_default().time = time(answer)?;
    }
    let mut losses = Vec::new();
    for (server, facts) in facts {
        let server = if server.is_empty() { server } else { format!(" {server}") };
        for problem in facts.problems(asked, settings) {
            let is_accepted = problem.is_power_cut() && settings.accept_loss_at_power_cut;
            if problem.is_power_cut() || problem == Problem::Persistence {
                losses
                    .push(format!("the Redis server{server} may lose accepted events: {problem}"));
            }
            let unfit = CannotConnect::Unfit(server.clone(), problem);
            match settings.checks {
                Checks::Refuse if !is_accepted => return Err(unfit.into()),
                Checks::Refuse | Checks::Warn => tracing::warn!("{unfit}"),
            }
        }
    }
    Ok(losses)
}

impl Problem {
    /// Tells whether `store.redis.accept_loss_at_power_cut` accepts the problem.
    fn is_power_cut(&self) -> bool {
        matches!(self, Self::PowerCut(_) | Self::Untold(APPENDFSYNC))
    }
}

/// The setting that says when the append-only file is written to the disk.
const APPENDFSYNC: &str = "appendfsync";

/// Seconds, and microseconds of the next one.
fn time(answer: Value) -> RedisResult<Timestamp> {
    let (secs, micros): (i64, i64) = FromRedisValue::from_redis_value(answer)?;
    Ok(Timestamp::from_millis(secs.saturating_mul(1000).saturating_add(micros / 1000)))
}

/// The oldest version that has the needed commands.
const VERSION_MIN: (u32, u32) = (7, 0);

impl Facts {
    /// Returns all problems. `asked` are our times before and after the server was asked for its own.
    pub(super) fn problems(
        &self,
        asked: (Timestamp, Timestamp),
        settings: &RedisSettings,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        if version(&self.version).is_none_or(|version| version < VERSION_MIN) {
            problems.push(Problem::Version(self.version.clone()));
        }
        let is_append_only = self.appendonly.as_deref() == Some("yes");
        if is_append_only || self.save.as_ref().is_some_and(|save| !save.is_empty()) {
            // Replicas that are waited for have the events when one server loses its power.
            problems.extend(self.power_cut().filter(|_| settings.wait_replicas == 0));
        } else if self.appendonly.is_none() || self.save.is_none() {
            problems.push(Problem::Untold("persistence"));
        } else {
            problems.push(Problem::Persistence);
        }
        match self.maxmemory_policy.as_deref() {
            Some("noeviction") => {}
            Some(other) => problems.push(Problem::Eviction(other.to_owned())),
            None => problems.push(Problem::Untold("maxmemory-policy")),
        }
        let (before, after) = asked;
        // The answer may have been under way for all of that time.
        let skew = before.since(self.time).max(self.time.since(after));
        if settings.clock_skew_max < skew {
            problems.push(Problem::Clock(skew));
        }
        problems
    }

    /// Returns what the server forgets when its power is cut.
    fn power_cut(&self) -> Option<Problem> {
        match (self.appendonly.as_deref(), self.appendfsync.as_deref()) {
            (Some("yes"), Some("always")) => None,
            (Some("yes"), Some(other)) => Some(Problem::PowerCut(format!("`appendfsync {other}`"))),
            (Some("yes"), None) => Some(Problem::Untold(APPENDFSYNC)),
            _ => Some(Problem::PowerCut("`appendonly no`, and snapshots only".to_owned())),
        }
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    fn facts() -> Facts {
        Facts {
            version: "7.0.15".into(),
            appendonly: Some("yes".into()),
            appendfsync: Some("always".into()),
            save: Some(String::new()),
            maxmemory_policy: Some("noeviction".into()),
            time: NOW,
        }
    }

    #[track_caller]
    fn check(facts: Facts, problems: &[Problem]) {
        check_with(facts, &RedisSettings::default(), problems);
    }

    #[track_caller]
    fn check_with(facts: Facts, settings: &RedisSettings, problems: &[Problem]) {
        let later = NOW + Duration::from_millis(100);
        assert_eq!(facts.problems((NOW, later), settings), problems);
    }

    /// Accepted means on disk, or on another machine.
    #[test]
    fn what_a_power_cut_forgets_is_a_problem_unless_replicas_have_it() {
        let text = |text: &str| Some(text.to_owned());
        let snapshots = Facts { appendonly: text("no"), save: text("3600 1 300 100"), ..facts() };
        let each_second = Facts { appendfsync: text("everysec"), ..facts() };
        let never = Facts { appendfsync: text("no"), ..facts() };
        let replicated = RedisSettings { wait_replicas: 1, ..RedisSettings::default() };
        for (facts, why) in [
            (snapshots, "`appendonly no`, and snapshots only"),
            (each_second, "`appendfsync everysec`"),
            (never, "`appendfsync no`"),
        ] {
            check(facts.clone(), &[Problem::PowerCut(why.into())]);
            check_with(facts, &replicated, &[]);
        }
        check(Facts { appendfsync: None, ..facts() }, &[Problem::Untold("appendfsync")]);
    }

    #[test]
    fn a_server_is_held_to_each_of_the_rules() {
        let text = |text: &str| Some(text.to_owned());
        check(facts(), &[]);
        check(Facts { version: "8.2.0".into(), ..facts() }, &[]);
        check(Facts { version: "10.0".into(), ..facts() }, &[]);
        for old in ["6.2.7", "", "unstable"] {
            check(Facts { version: old.into(), ..facts() }, &[Problem::Version(old.into())]);
        }
        check(Facts { appendonly: text("no"), ..facts() }, &[Problem::Persistence]);
        let untold = Facts { appendonly: None, save: None, maxmemory_policy: None, ..facts() };
        check(untold, &[Problem::Untold("persistence"), Problem::Untold("maxmemory-policy")]);
        let lru = Facts { maxmemory_policy: text("allkeys-lru"), ..facts() };
        check(lru, &[Problem::Eviction("allkeys-lru".into())]);
    }

    #[test]
    fn a_clock_may_be_off_by_what_is_allowed() {
        let at =
            |millis| Facts { time: Timestamp::from_millis(NOW.as_millis() + millis), ..facts() };
        for fine in [0, 50, 100, 2100, -2000] {
            check(at(fine), &[]);
        }
        check(at(2101), &[Problem::Clock(Duration::from_millis(2001))]);
        check(at(-2001), &[Problem::Clock(Duration::from_millis(2001))]);
    }
}
