//! Showing SETs until enough have come.

use std::{
    io::{self, Write as _},
    pin::pin,
    time::Duration,
};

use clap::Args;
use humantime_serde::re::humantime;
use tokio::{sync::mpsc, time::sleep};

use super::{misbehave::Mode, received::Received};
use crate::cli::CliError;

/// When to stop; else it goes on until it is interrupted.
#[derive(Debug, Clone, Args)]
pub(super) struct Limits {
    /// Exit after this many SETs, each counted once
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Exit after this time, as `30s`
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

/// How many SETs came, each counted once, and how many of them were not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen {
    sets: u64,
    unverified: u64,
}

/// Prints each SET, until a limit is reached, there can be no more, or the user interrupts.
pub(super) async fn watch(
    mut received: mpsc::Receiver<Received>,
    limits: &Limits,
    json: bool,
) -> Seen {
    let mut seen = Seen::default();
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut timed_out = pin!(after(limits.timeout));
    while limits.count.is_none_or(|count| seen.sets < count) {
        let set = tokio::select! {
            set = received.recv() => set,
            () = &mut timed_out => None,
            _ = &mut interrupted => None,
        };
        let Some(set) = set else { break };
        seen.note(&set);
        if print(&set, json).is_err() {
            // Whoever read, as `head` does, has seen enough.
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

impl Seen {
    fn note(&mut self, set: &Received) {
        // What was turned away on purpose will come again.
        let stays = set.misbehaved.as_ref().is_none_or(Mode::takes_set);
        self.sets += u64::from(stays && !set.duplicate);
        self.unverified += u64::from(stays && set.verified.is_err());
    }

    /// Whether all is well: all SETs verified, and as many as were asked for.
    pub(super) fn verdict(self, limits: &Limits) -> Result<(), CliError> {
        match limits.count {
            _ if 0 < self.unverified => {
                Err(CliError::new(format!("SETs not verified: {}", self.unverified)))
            }
            Some(count) if self.sets < count => {
                Err(CliError::new(format!("{} of {count} SETs came", self.sets)))
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
        cli::receive::received::{Method, Rejection, SignedBy},
        domain::time::Timestamp,
        signing::algorithm::Algorithm,
    };

    fn received(verified: bool, duplicate: bool, misbehaved: Option<Mode>) -> Received {
        let signed = SignedBy { algorithm: Algorithm::Es256, kid: "k".into() };
        Received {
            method: Method::Push,
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

    fn limits(count: u64) -> Limits {
        Limits { count: Some(count), timeout: None }
    }

    async fn watched(sets: Vec<Received>, limits: &Limits) -> Seen {
        let (sender, receiver) = mpsc::channel(sets.len());
        for set in sets {
            sender.try_send(set).expect("there is room");
        }
        drop(sender);
        watch(receiver, limits, true).await
    }

    #[tokio::test]
    async fn each_set_counts_once() {
        let all = [
            received(true, false, Some(Mode::Reset)),
            received(true, false, Some(Mode::Lose)),
            received(true, true, None),
            received(true, false, None),
            received(false, false, None),
        ];
        let seen = watched(all.to_vec(), &limits(2)).await;
        assert_eq!(seen, Seen { sets: 2, unverified: 0 });
        assert!(seen.verdict(&limits(2)).is_ok());
    }

    #[tokio::test]
    async fn it_fails_when_one_is_not_verified_or_too_few_came() {
        let seen = watched(vec![received(true, false, None)], &limits(2)).await;
        assert_eq!(seen.verdict(&limits(2)).expect_err("one came").to_string(), "1 of 2 SETs came");
        let seen = watched(vec![received(false, false, None)], &limits(1)).await;
        let error = seen.verdict(&limits(1)).expect_err("not verified").to_string();
        assert_eq!(error, "SETs not verified: 1");
    }

    #[tokio::test]
    async fn it_ends_in_time() {
        let (_sender, receiver) = mpsc::channel(1);
        let limits = Limits { count: None, timeout: Some(Duration::ZERO) };
        assert_eq!(watch(receiver, &limits, false).await, Seen::default());
    }
}
