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
    /// The setting of the snapshots.
    pub(super) save: Option<String>,
    /// The server's policy when its memory is full.
    pub(super) maxmemory_policy: Option<String>,
    pub(super) time: Timestamp,
}

/// A reason why a server is unsafe as a store. The text says how to remedy it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("it is version {0}, and 7.0 is the oldest that will do")]
    Version(String),
    #[error("it loses everything when it stops: set `appendonly yes`, or `save`")]
    Persistence,
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

/// Asks every server, and logs or refuses problems as the settings say.
pub(super) async fn check(
    connections: &Connections,
    settings: &RedisSettings,
) -> Result<(), StoreError> {
    let mut facts: HashMap<String, Facts> = HashMap::new();
    for (server, answer) in connections.ask_each(redis::cmd("INFO").arg("server")).await? {
        let info = String::from_redis_value(answer)?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        let version = version.unwrap_or_default().trim().to_owned();
        facts.insert(server, Facts { version, ..Facts::default() });
    }
    for name in ["appendonly", "save", "maxmemory-policy"] {
        // A user without permission for `CONFIG` gets no answer, and the missing check is logged.
        let asked = connections.ask_each(redis::cmd("CONFIG").arg("GET").arg(name)).await;
        for (server, answer) in asked.unwrap_or_default() {
            let value = HashMap::<String, String>::from_redis_value(answer)?.remove(name);
            let facts = facts.entry(server).or_default();
            match name {
                "appendonly" => facts.appendonly = value,
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
    for (server, facts) in facts {
        let server = if server.is_empty() { server } else { format!(" {server}") };
        for problem in facts.problems(asked, settings.clock_skew_max) {
            let unfit = CannotConnect::Unfit(server.clone(), problem);
            match settings.checks {
                Checks::Refuse => return Err(unfit.into()),
                Checks::Warn => tracing::warn!("{unfit}"),
            }
        }
    }
    Ok(())
}

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
        skew_max: Duration,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        if version(&self.version).is_none_or(|version| version < VERSION_MIN) {
            problems.push(Problem::Version(self.version.clone()));
        }
        match (self.appendonly.as_deref(), self.save.as_deref()) {
            (Some("yes"), _) => {}
            (_, Some(save)) if !save.is_empty() => {}
            (Some(_), Some(_)) => problems.push(Problem::Persistence),
            _ => problems.push(Problem::Untold("persistence")),
        }
        match self.maxmemory_policy.as_deref() {
            Some("noeviction") => {}
            Some(other) => problems.push(Problem::Eviction(other.to_owned())),
            None => problems.push(Problem::Untold("maxmemory-policy")),
        }
        let (before, after) = asked;
        // The answer may have been under way for all of that time.
        let skew = before.since(self.time).max(self.time.since(after));
        if skew_max < skew {
            problems.push(Problem::Clock(skew));
        }
        problems
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
    const SKEW_MAX: Duration = Duration::from_secs(2);

    fn facts() -> Facts {
        Facts {
            version: "7.0.15".into(),
            appendonly: Some("yes".into()),
            save: Some(String::new()),
            maxmemory_policy: Some("noeviction".into()),
            time: NOW,
        }
    }

    #[track_caller]
    fn check(facts: Facts, problems: &[Problem]) {
        let later = NOW + Duration::from_millis(100);
        assert_eq!(facts.problems((NOW, later), SKEW_MAX), problems);
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
        let saved = Facts { appendonly: text("no"), save: text("3600 1 300 100"), ..facts() };
        check(saved, &[]);
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
