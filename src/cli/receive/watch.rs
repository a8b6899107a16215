//! Prints SETs until a limit is reached.

use std::{
    io::{self, Write as _},
    pin::pin,
    time::Duration,
};

use clap::Args;
use humantime_serde::re::humantime;
use tokio::{sync::mpsc, time::sleep};

use super::{misbehave::MisbehaviourMode, received::Received};
use crate::cli::CliError;

/// The arguments that say when to stop. Without them the command runs until it is interrupted.
#[derive(Debug, Clone, Args)]
pub(super) struct WatchLimits {
    /// Exit after this many SETs; duplicates do not count
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Exit after this time, such as `30s`
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

/// The numbers of SETs that arrived, without duplicates, and of those that were not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SeenSets {
    sets: u64,
    unverified: u64,
}

/// Prints each SET until a limit is reached, the channel is closed, or the user interrupts.
pub(super) async fn watch(
    mut received: mpsc::Receiver<Received>,
    limits: &WatchLimits,
    json: bool,
) -> SeenSets {
    let mut seen = SeenSets::default();
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut timed_out = pin!(after(limits.timeout));
    while limits.count.is_none_or(|count| seen.sets < count) {
        let set = tokio::select! {
            set = received.recv() => set,
            () = &mut timed_out => None,
            _ = &mut interrupted => None,
        };
        let Some(set) = set else { break };
        seen.count(&set);
        if print(&set, json).is_err() {
            // The reader of a pipe, such as `head`, has closed it.
            break;
        }
    }
    seen
}

async fn after(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => sleep(timeout).await,
        None => std::future::pending().await,
    }
}

fn print(set: &Received, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json { writeln!(out, "{}", set.to_json()) } else { writeln!(out, "{set}") }
}

impl SeenSets {
    fn count(&mut self, set: &Received) {
        // A SET that was not accepted on purpose will be repeated.
        let counts = set.misbehaved.as_ref().is_none_or(MisbehaviourMode::accepts_set);
        self.sets += u64::from(counts && !set.duplicate);
        self.unverified += u64::from(counts && set.verified.is_err());
    }

    /// Fails if a SET was not verified, or if fewer SETs arrived than requested.
    pub(super) fn check(self, limits: &WatchLimits) -> Result<(), CliError> {
        match limits.count {
            _ if 0 < self.unverified => {
                Err(CliError::new(format!("{} SETs could not be verified", self.unverified)))
            }
            Some(count) if self.sets < count => {
                Err(CliError::new(format!("only {} of {count} SETs arrived", self.sets)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::{
        cli::receive::received::{ReceiveMethod, Rejection, SignedBy},
        domain::time::Timestamp,
        signing::algorithm::Algorithm,
    };

    fn received(verified: bool, duplicate: bool, misbehaved: Option<MisbehaviourMode>) -> Received {
        let signed = SignedBy { algorithm: Algorithm::Es256, kid: "k".into() };
        Received {
            method: ReceiveMethod::Push,
            at: Timestamp::EPOCH,
            endpoint: "/".into(),
            jti: None,
            event_type: None,
            claims: Map::new(),
            verified: verified.then_some(signed).ok_or(Rejection::NoKeys("none".into())),
            duplicate,
            misbehaved,
        }
    }

    fn limits(count: u64) -> WatchLimits {
        WatchLimits { count: Some(count), timeout: None }
    }

    async fn watched(sets: Vec<Received>, limits: &WatchLimits) -> SeenSets {
        let (sender, receiver) = mpsc::channel(sets.len());
        for set in sets {
            sender.try_send(set).expect("there is room");
        }
        drop(sender);
        watch(receiver, limits, true).await
    }

    #[tokio::test]
    async fn duplicates_and_refused_sets_do_not_count() {
        let all = [
            received(true, false, Some(MisbehaviourMode::Reset)),
            received(true, false, Some(MisbehaviourMode::Lose)),
            received(true, true, None),
            received(true, false, None),
            received(false, false, None),
        ];
        let seen = watched(all.to_vec(), &limits(2)).await;
        assert_eq!(seen, SeenSets { sets: 2, unverified: 0 });
        assert!(seen.check(&limits(2)).is_ok());
    }

    #[tokio::test]
    async fn an_unverified_set_or_too_few_sets_are_an_error() {
        let seen = watched(vec![received(true, false, None)], &limits(2)).await;
        assert_eq!(
            seen.check(&limits(2)).expect_err("one arrived").to_string(),
            "only 1 of 2 SETs arrived"
        );
        let seen = watched(vec![received(false, false, None)], &limits(1)).await;
        let error = seen.check(&limits(1)).expect_err("not verified").to_string();
        assert_eq!(error, "1 SETs could not be verified");
    }

    #[tokio::test]
    async fn watching_ends_after_the_timeout() {
        let (_sender, receiver) = mpsc::channel(1);
        let limits = WatchLimits { count: None, timeout: Some(Duration::ZERO) };
        assert_eq!(watch(receiver, &limits, false).await, SeenSets::default());
    }
}
