//! The use cases: what publishers, Receivers and operators can ask for, one function each.

mod activity;
mod changes;
pub mod dead_letters;
pub mod delivery_state;
pub mod explain;
pub mod faults;
pub mod intake;
pub mod local_node;
pub mod operator;
pub mod poll;
mod poll_keys;
pub mod poll_log;
pub mod pressure;
pub mod replay;
pub mod status;
pub mod streams;
pub mod subjects;
pub mod trace;
mod turns;
pub mod verification;
mod verification_pace;
mod waiters;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    actor::{registry::Registry, signer::Signer},
    auth::{AuthError, Principal},
    clock,
    cluster::{
        change_feed::{ChangeFeed, notice::Notice},
        lease::Lease,
    },
    delivery::poll::PollSettings,
    directory::Directory,
    domain::{
        id::StreamId,
        pace::Pace,
        stream::{InvalidMember, StreamConfig},
    },
    store::{Store, StoreError},
};

use activity::Activity;
use dead_letters::DeadKind;
use intake::{Scheduler, admission::ToldFindings};
use poll_keys::PollKeys;
use poll_log::PollLog;
use pressure::Pressure;
use turns::Turns;
use verification_pace::VerificationPace;
use waiters::Waiters;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Another Receiver's stream too: anything else would tell that it exists (SSF §8).
    #[error("no such stream")]
    StreamNotFound,
    #[error("there is a stream `{0}` already, or it is being deleted")]
    StreamExists(StreamId),
    #[error(transparent)]
    Invalid(#[from] InvalidMember),
    /// The Receiver has as many streams as it may (SSF §8.1.1.1).
    #[error("this Receiver has {0} streams, as many as it may have")]
    StreamLimit(usize),
    /// Sooner than `min_verification_interval` (SSF §8.1.4.2).
    #[error("the last verification of this stream was requested too recently")]
    TooSoon { wait: Duration },
    /// The list of subjects is full (SSF §8.1.3.2).
    #[error("{}", StoreError::SubjectLimit)]
    SubjectLimit,
    #[error("subjects of this stream are added and removed too fast")]
    TooManySubjects { wait: Duration },
    #[error("the stream is not enabled")]
    NotEnabled,
    #[error("the stream is disabled, and discards what it is given")]
    Disabled,
    /// The SET or event never existed, or has expired.
    #[error("nothing of this name is kept")]
    NothingKept,
    #[error("{}", StoreError::NoSuchPage)]
    NoSuchPage,
    #[error("signing failed")]
    Signing,
    /// The credential became invalid while the request waited.
    #[error(transparent)]
    Credential(#[from] AuthError),
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::StreamLimit(limit) => Self::StreamLimit(limit),
            StoreError::SubjectLimit => Self::SubjectLimit,
            StoreError::NoSuchPage => Self::NoSuchPage,
            other => Self::Store(other),
        }
    }
}

/// How this node shares the work with others, if there are any.
pub struct Sharing {
    pub lease: Arc<Lease>,
    pub change_feed: Arc<ChangeFeed>,
    /// How long other nodes may have known of a Receiver's activity before it is recorded.
    pub activity_lag: Duration,
}

/// Performs the use cases. One for the whole daemon, shared by all of its edges.
pub struct Transmitter {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    registry: Arc<Registry>,
    signer: Signer,
    poll: PollSettings,
    sharing: Sharing,
    waiters: Arc<Waiters>,
    poll_log: PollLog,
    poll_keys: PollKeys,
    /// A stream has one change at a time, so that each change starts from what the last one left. The
    /// store notices by the version what another node changes meanwhile.
    turns: Turns,
    verification_pace: VerificationPace,
    activity: Activity,
    told_findings: ToldFindings,
    pressure: Pressure,
    scheduler: Arc<Scheduler>,
    /// How fast each stream's Receiver adds and removes subjects by way of this node.
    subject_paces: Mutex<HashMap<StreamId, Pace>>,
    /// The kinds of dead letters that were counted so far: each is a series of a metric.
    seen_dead: Mutex<BTreeSet<DeadKind>>,
}

impl Transmitter {
    pub fn new(
        store: Arc<dyn Store>,
        directory: Arc<Directory>,
        registry: Arc<Registry>,
        signer: Signer,
        poll: PollSettings,
        sharing: Sharing,
    ) -> Self {
        Self {
            store,
            activity: Activity::new(directory.providers()),
            directory,
            registry,
            signer,
            poll,
            sharing,
            waiters: Arc::default(),
            poll_log: PollLog::default(),
            poll_keys: PollKeys::default(),
            turns: Turns::default(),
            verification_pace: VerificationPace::default(),
            told_findings: ToldFindings::default(),
            pressure: Pressure::default(),
            scheduler: Arc::default(),
            subject_paces: Mutex::default(),
            seen_dead: Mutex::default(),
        }
    }

    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Returns the pressure, which tells which events publishers may send at present.
    pub fn pressure(&self) -> &Pressure {
        &self.pressure
    }

    /// Answers every long poll that waits, now and from now on: the daemon is about to stop.
    pub fn release_long_polls(&self) {
        self.waiters.close();
    }

    /// Returns how many long polls wait on this node.
    pub fn long_polls(&self) -> usize {
        self.waiters.count_all()
    }

    /// Has every long poll that waits judge its credential again, because one may have been revoked.
    pub fn judge_long_polls(&self) {
        self.waiters.judge_again();
    }

    /// The one place where ownership is judged: a stream is seen by its Receiver, at its provider,
    /// and by nobody else. Every call of a Receiver that names a stream comes through here, every
    /// poll too, and so counts as activity (SSF §8.1.1).
    fn owned(
        &self,
        principal: &Principal,
        id: &StreamId,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let own = |stream: &Arc<StreamConfig>| {
            stream.provider == principal.provider && stream.receiver == principal.receiver
        };
        let stream = self.directory.stream(id).filter(own).ok_or(RequestError::StreamNotFound)?;
        self.activity.touch(&stream, clock::now());
        Ok(stream)
    }

    /// Any stream, for those who stand above Receivers: operators, and the daemon itself.
    fn known(&self, id: &StreamId) -> Result<Arc<StreamConfig>, RequestError> {
        self.directory.stream(id).ok_or(RequestError::StreamNotFound)
    }

    /// Tells whoever delivers that these outboxes may have something new, on whichever node.
    fn wake(&self, ids: &[StreamId], control: bool) {
        self.wake_here(ids, control);
        let Sharing { lease, change_feed, .. } = &self.sharing;
        if lease.node_count() < 2 || !change_feed.is_enabled() {
            return;
        }
        let now = clock::instant();
        let pushed_here = |id: &StreamId| {
            lease.serves(id, now)
                && self.directory.stream(id).is_some_and(|stream| stream.endpoint().is_some())
        };
        let elsewhere = ids.iter().filter(|id| !pushed_here(id));
        change_feed.send(Notice::woken(elsewhere, control));
    }

    /// Tells whoever delivers on this node.
    fn wake_here(&self, ids: &[StreamId], control: bool) {
        self.registry.wake(ids, control);
        self.waiters.wake(ids);
    }

    fn subject_paces(&self) -> std::sync::MutexGuard<'_, HashMap<StreamId, Pace>> {
        self.subject_paces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen_dead(&self) -> std::sync::MutexGuard<'_, BTreeSet<DeadKind>> {
        self.seen_dead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
