//! Polls one URL, round after round, while this node may.
//!
//! A round asks for a page, has its records taken in, and moves the position, in this order. A crash or
//! another node repeats the last page, whose events are duplicates then.

use std::{sync::Arc, time::Duration};

use hyper::StatusCode;
use tokio::{sync::watch, time::sleep};

use super::{
    Poll,
    client::Answer,
    fault::Fault,
    link::next_page,
    pace::Pace,
    page::Page,
    round::{Position, Round, Then},
    seen::Seen,
    state::{LastPollError, LastRound, Tally},
};
use crate::{
    clock,
    cluster::lease::Lease,
    domain::time::Timestamp,
    source::{Source, SourceError, entries::PolledRecord},
    store::{
        StoreError,
        records::poll_position::{PollPosition, PollPositionStore as _},
        slot::Slot,
    },
    telemetry::{causes::with_causes, metrics},
};

/// How often a node that does not poll looks whether it may, and one that polls tells its lag.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The most records that are remembered for each URL.
const SEEN_MAX: usize = 50_000;

/// The outcomes of a round without a fault.
pub(super) const COMPLETE: &str = "complete";
pub(super) const CONTINUED: &str = "continued";

/// The poller of one URL of a source.
pub(super) struct Poller {
    pub(super) source: Arc<Source>,
    pub(super) poll: Arc<Poll>,
    /// The number of the URL.
    pub(super) url: usize,
    pub(super) lease: Arc<Lease>,
    /// The node that holds this slot polls the source.
    pub(super) slot: Slot,
}

/// The memory of the rounds before. It only saves work.
struct Memory {
    seen: Seen,
    largest: usize,
}

/// How a round ended that did not fail.
enum Ended {
    Complete,
    Continued,
    /// Another node may poll by now.
    Lost,
}

impl Poller {
    /// Polls while this node may, until `stop` says so.
    pub(super) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let work = async {
            loop {
                while !self.may_poll() {
                    sleep(LOOK_INTERVAL).await;
                }
                self.poll.board.change(self.url, |state| state.polls_here = true);
                // A round that is broken off is made again, here or by another node.
                tokio::select! {
                    () = self.tell_lag() => {}
                    () = self.poll_while_leased() => {}
                }
                self.rests();
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = work => {}
        }
    }

    fn may_poll(&self) -> bool {
        self.lease.holds(self.slot, clock::instant())
    }

    /// Another node polls: here nothing is wrong, and nothing is known.
    fn rests(&self) {
        let (source, url) = (self.source.label(), self.name());
        tracing::info!(source, url, "another node polls");
        self.poll.board.change(self.url, |state| {
            (state.polls_here, state.failures, state.caught_up_to) = (false, 0, None);
        });
        self.source.services.readiness.calm(&self.part());
        self.lag(Duration::ZERO);
    }

    async fn poll_while_leased(&self) {
        let mut pace = Pace::new(&self.poll.config.settings);
        let mut memory = Memory { seen: Seen::new(SEEN_MAX), largest: 0 };
        while self.may_poll() {
            let begun = clock::instant();
            let mut tally = Tally::default();
            let ended = self.round(&mut memory, &mut tally).await;
            let took = clock::instant().saturating_duration_since(begun);
            let wait = match ended {
                Ok(Ended::Lost) => return,
                Ok(Ended::Complete) => {
                    self.succeeded(COMPLETE, tally);
                    pace.after_success(took)
                }
                Ok(Ended::Continued) => {
                    self.succeeded(CONTINUED, tally);
                    pace.after_success(took)
                }
                Err(fault) => {
                    let wait = pace.after_fault(&fault, clock::dice());
                    self.failed(&fault, pace.is_lasting(&fault), wait, tally);
                    wait
                }
            };
            self.rest(wait).await;
        }
    }

    /// Waits for the next round, and no longer than this node may poll.
    async fn rest(&self, wait: Duration) {
        let until = clock::instant() + wait;
        while self.may_poll() {
            let left = until.saturating_duration_since(clock::instant());
            if left.is_zero() {
                return;
            }
            sleep(left.min(LOOK_INTERVAL)).await;
        }
    }

    /// Asks for pages until there are no more.
    async fn round(&self, memory: &mut Memory, tally: &mut Tally) -> Result<Ended, Fault> {
        let begun = clock::now();
        let (mut position, mut version) = self.position(begun).await?;
        let (settings, url) = (&self.poll.config.settings, &self.poll.config.urls[self.url]);
        let oldest = begun - self.source.parts.bounds.max_age;
        // Older ones would be rejected.
        let largest = memory.largest;
        let mut round = Round::begin(settings, url, position.clone(), largest, oldest, begun);
        let mut renewed = false;
        loop {
            self.until_there_is_room().await;
            if !self.may_poll() {
                return Ok(Ended::Lost);
            }
            let url = round.url(clock::now());
            let (page, link) = match self.page(&url, &mut renewed).await {
                Ok(page) => page,
                Err(fault) => {
                    let (source, error) = (self.source.label(), with_causes(&fault));
                    if round.forget_place(&fault) {
                        tracing::warn!(
                            source,
                            url = self.name(),
                            error,
                            "the provider does not know the next page any more; the poll goes on from the \
                             newest record"
                        );
                    } else if !round.ask_for_less(&fault) {
                        return Err(fault);
                    }
                    continue;
                }
            };
            let now = clock::now();
            let judged = round.judge(&page.facts(link, now), now)?;
            memory.largest = round.largest();
            if !self.may_poll() {
                return Ok(Ended::Lost);
            }
            (tally.pages, tally.records) = (tally.pages + 1, tally.records + page.records.len());
            let is_new = self.take_in(page.records, &mut memory.seen, tally).await?;
            let is_end = !matches!(judged.then, Then::Ask);
            // Where nothing new was read, there is nothing to be kept.
            if (is_new || is_end) && judged.position != position {
                position = judged.position;
                version = match self.move_to(&position, version, now).await {
                    Ok(version) => Some(version),
                    Err(StoreError::Conflict) => return Ok(Ended::Lost),
                    Err(error) => return Err(SourceError::from(error).into()),
                };
            }
            match judged.then {
                Then::Ask => {}
                Then::Complete => {
                    self.poll.board.change(self.url, |state| state.caught_up(begun));
                    return Ok(Ended::Complete);
                }
                Then::Continued => return Ok(Ended::Continued),
                Then::Fail(fault) => return Err(fault),
            }
            self.poll.board.change(self.url, |state| state.caught_up(position.newest));
        }
    }

    /// Waits while publishers' events are not taken, and while the poll has published as many events in a minute
    /// as the source may.
    async fn until_there_is_room(&self) {
        let provider = &self.source.parts.provider.name;
        self.source.services.transmitter.pressure().lets_read(provider).await;
        while self.may_poll() && self.poll.cap().is_full(clock::instant()) {
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Asks for a page. A credential that is refused is renewed once in a round.
    async fn page(
        &self,
        url: &url::Url,
        renewed: &mut bool,
    ) -> Result<(Page, Option<String>), Fault> {
        let Poll { config, client, credentials, .. } = &*self.poll;
        let credential = credentials.show(client).await?;
        let answer = match client.get(url, credential.as_ref()).await {
            Err(fault) if !*renewed && fault.is_status(StatusCode::UNAUTHORIZED) => {
                *renewed = true;
                match credentials.renew(credential.as_ref(), client).await? {
                    Some(credential) => client.get(url, Some(&credential)).await,
                    None => Err(fault),
                }
            }
            answer => answer,
        };
        let answer: Answer = answer?;
        let link = next_page(url, answer.links())?.map(String::from);
        let records_max = self.source.parts.bounds.records_max;
        let page = Page::read(&answer.body, &config.settings, self.source.mapping(), records_max)?;
        Ok((page, link))
    }

    /// Has the records of a page taken in that were not before. Returns whether there were any.
    async fn take_in(
        &self,
        records: Vec<PolledRecord>,
        seen: &mut Seen,
        tally: &mut Tally,
    ) -> Result<bool, Fault> {
        let new: Vec<_> = records.into_iter().filter(|one| !seen.has(&one.digest)).collect();
        if new.is_empty() {
            return Ok(false);
        }
        let digests: Vec<_> = new.iter().map(|record| record.digest.clone()).collect();
        let counts = self.source.take_polled(new).await?;
        for digest in digests {
            seen.note(digest);
        }
        let accepted = u32::try_from(counts.accepted).unwrap_or(u32::MAX);
        self.poll.cap().count(accepted, clock::instant());
        (tally.new, tally.known) = (tally.new + counts.accepted, tally.known + counts.duplicate);
        let (provider, source) =
            (&self.source.parts.provider.name, self.source.parts.name.as_str());
        metrics::source_poll_events(provider, source, "new", counts.accepted);
        metrics::source_poll_events(provider, source, "known", counts.duplicate);
        Ok(true)
    }

    /// Returns the position with its version. A source that has none begins now, or as much before as it is
    /// configured; that is made durable, so that a provider that cannot be reached does not move it.
    async fn position(&self, now: Timestamp) -> Result<(Position, Option<u64>), Fault> {
        let (provider, source) = (&self.source.parts.provider.name, &self.source.parts.name);
        let store = &self.source.services.store;
        let found = store.poll_position(provider, source, self.name()).await;
        let (position, version) = if let Some(found) = found.map_err(SourceError::from)? {
            let PollPosition { newest, base, begun, next, .. } = found.record;
            let [newest, base] = [newest, base].map(Timestamp::from_millis);
            let begun = begun.map(Timestamp::from_millis);
            (Position { newest, base, begun, next }, found.version)
        } else {
            let position = Position::starting(now - self.poll.config.settings.start.0);
            let version = self.move_to(&position, None, now).await;
            (position, version.map_err(SourceError::from)?)
        };
        self.poll.board.change(self.url, |state| state.caught_up(position.newest));
        Ok((position, Some(version)))
    }

    async fn move_to(
        &self,
        position: &Position,
        version: Option<u64>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let position = PollPosition {
            provider: self.source.parts.provider.name.clone(),
            source: self.source.parts.name.clone(),
            url: self.name().to_owned(),
            newest: position.newest.as_millis(),
            base: position.base.as_millis(),
            begun: position.begun.map(Timestamp::as_millis),
            next: position.next.clone(),
            moved_at: now.as_millis(),
        };
        self.source.services.store.move_poll(&position, version).await
    }

    fn succeeded(&self, outcome: &'static str, tally: Tally) {
        self.count(outcome);
        let ended_at = clock::now();
        let failures = self.poll.board.change(self.url, |state| {
            state.last_round = Some(LastRound { ended_at, outcome, tally });
            std::mem::take(&mut state.failures)
        });
        if failures != 0 {
            self.source.services.readiness.calm(&self.part());
            tracing::info!(
                source = self.source.label(),
                url = self.name(),
                failures,
                "polled again"
            );
        }
    }

    fn failed(&self, fault: &Fault, is_lasting: bool, wait: Duration, tally: Tally) {
        let outcome = fault.label();
        self.count(outcome);
        let (source, url, at) = (self.source.label(), self.name(), clock::now());
        let remedy = fault.remedy();
        let error = with_causes(fault);
        let told = match remedy {
            Some(remedy) => format!("{error}; {remedy}"),
            None => error.clone(),
        };
        self.poll.board.change(self.url, |state| {
            state.last_round = Some(LastRound { ended_at: at, outcome, tally });
            state.last_error = Some(LastPollError { at, error: told.clone() });
            state.failures = state.failures.saturating_add(1);
        });
        if is_lasting {
            let text = format!("the source {source} cannot poll {url}: {told}");
            self.source.services.readiness.warn(&self.part(), text);
        }
        if let Some(left_out) = self.source.log.admit(outcome, clock::instant()) {
            let wait = wait.as_secs_f64();
            tracing::warn!(source, url, error, remedy, wait, left_out, "a round of a poll failed");
        }
    }

    fn count(&self, outcome: &'static str) {
        let (provider, source) =
            (&self.source.parts.provider.name, self.source.parts.name.as_str());
        metrics::source_poll_rounds(provider, source, outcome, 1);
    }

    /// Tells the lag again and again, also while a round waits.
    async fn tell_lag(&self) {
        loop {
            let caught_up_to = self.poll.board.change(self.url, |state| state.caught_up_to);
            if let Some(to) = caught_up_to {
                self.lag(clock::now().since(to));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    fn lag(&self, lag: Duration) {
        let (provider, source) =
            (&self.source.parts.provider.name, self.source.parts.name.as_str());
        metrics::source_poll_lag(provider, source, self.name(), lag);
    }

    /// Returns the URL without its query.
    fn name(&self) -> &str {
        &self.poll.config.urls[self.url].name
    }

    /// Returns the name in `/readyz`.
    fn part(&self) -> String {
        format!("poll {} {}", self.source.label(), self.name())
    }
}
