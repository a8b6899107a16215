//! Connections to the servers. A connection is opened when it is needed, shared by concurrent calls, and
//! replaced when it breaks. Commands that block never use these connections.
//!
//! A command whose connection broke may have been executed all the same. The command is repeated, because
//! repeating any of our scripts is harmless (see [`script`](super::script)). A command that ran out of time
//! is not repeated, so that each call comes to an end.

use std::{io, sync::Arc, time::Duration};

use futures_util::future::join_all;
use redis::{
    Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value,
    aio::ConnectionLike as _,
    cluster_routing::{
        MultipleNodeRoutingInfo::AllMasters, Route, RoutingInfo, SingleNodeRoutingInfo,
        SlotAddr::Master,
    },
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, oneshot},
    time::{sleep, timeout},
};

use super::{
    error::CannotConnect,
    servers::{Connection, Servers},
    settings::{RedisSettings, Topology},
    slot::Slot,
    wait_rounds::{Round, WaitRounds, Waiting},
};
use crate::{clock, store::StoreError};

/// The longest time of a call while the server is known not to answer, besides the time for which `WAIT`
/// may hold it up.
const FAILING_CALL_MAX: Duration = Duration::from_secs(2);

/// All connections of a store.
pub(super) struct Connections {
    lines: Vec<Line>,
    servers: Arc<Servers>,
    settings: RedisSettings,
    /// The runtime that drives the connections, whichever call opened them.
    runtime: Handle,
}

/// A connection, which is opened when it is needed.
#[derive(Default)]
struct Line {
    opened: Mutex<Option<Opened>>,
    rounds: WaitRounds,
}

/// The answer to a command.
pub(super) struct ServerAnswer {
    pub(super) value: Value,
    /// The connection that it came on; `None` in a Cluster, whose client has several.
    pub(super) connection: Option<u64>,
}

#[derive(Clone)]
struct Opened {
    /// Tells a broken connection from its replacement.
    number: u64,
    connection: Connection,
}

impl Connections {
    /// Opens no connection yet. Must be called within a runtime that outlives the connections.
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, CannotConnect> {
        Ok(Self {
            lines: (0..settings.connections.get()).map(|_| Line::default()).collect(),
            servers: Arc::new(Servers::of(&settings.servers(), settings.held_up_max())?),
            settings: settings.clone(),
            runtime: Handle::current(),
        })
    }

    /// Sends a command about a slot. Commands about one slot keep their order. The call ends in a bounded
    /// time however many wait for a connection, and sooner if the server is known not to answer.
    pub(super) async fn send(
        &self,
        slot: Slot,
        command: &Cmd,
        is_failing: bool,
    ) -> RedisResult<ServerAnswer> {
        let line = &self.line(slot).opened;
        let tried = self.try_often(line, command);
        // The client of a Cluster bounds the time of a call, in which it looks for another server.
        if self.settings.topology == Topology::Cluster {
            return tried.await;
        }
        let held_up = self.settings.held_up_max();
        let answered = self.settings.response_timeout + held_up;
        let bound = if is_failing {
            answered.min(FAILING_CALL_MAX + held_up)
        } else {
            answered + self.settings.connect_timeout
        };
        match timeout(bound, tried).await {
            Ok(answer) => answer,
            Err(late) => {
                // If the connection is lost without notice, nothing else would tell.
                if let Ok(mut line) = line.try_lock() {
                    *line = None;
                }
                Err(io::Error::from(late).into())
            }
        }
    }

    fn line(&self, slot: Slot) -> &Line {
        &self.lines[slot.index() % self.lines.len()]
    }

    async fn try_often(
        &self,
        line: &Mutex<Option<Opened>>,
        command: &Cmd,
    ) -> RedisResult<ServerAnswer> {
        let mut tries = 0;
        loop {
            let error = match self.try_once(line, command).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // The client of a Cluster repeats commands by itself.
            let over = self.settings.topology == Topology::Cluster || !passes(&error);
            if over || self.settings.retries <= tries {
                return Err(error);
            }
            tries += 1;
            sleep(self.settings.retry_wait).await;
        }
    }

    /// Waits until the configured number of replicas have all writes that were answered before by the node
    /// of this key, for as long as `within`. Returns how many have them. `written_on` is the connection of
    /// the write, if there was one.
    pub(super) async fn count_replicas(
        self: &Arc<Self>,
        slot: Slot,
        key: &[u8],
        written_on: Option<u64>,
        within: Duration,
    ) -> RedisResult<i64> {
        let (tell, told) = oneshot::channel();
        let until = clock::instant() + within;
        let waiting = Waiting { key: key.to_owned(), written_on, until, tell };
        if self.line(slot).rounds.join(waiting) {
            // A task of its own, because others wait for its rounds, and this call may be dropped.
            let connections = Arc::clone(self);
            self.runtime.spawn(async move { connections.run_rounds(slot).await });
        }
        told.await.unwrap_or_else(|_| Err(runtime_ended()))
    }

    async fn run_rounds(&self, slot: Slot) {
        let line = self.line(slot);
        let is_cluster = self.settings.topology == Topology::Cluster;
        let wanted = i64::from(self.settings.wait_replicas);
        let mut runner = line.rounds.run();
        while let Some(Round { groups, slice }) = runner.next(is_cluster, clock::instant()) {
            let is_whole = groups.len() == 1;
            let waits = groups.into_iter().map(|(key, calls)| async move {
                (calls, self.wait_once(line, &key, slice).await)
            });
            for (calls, reached) in join_all(waits).await {
                let now = clock::instant();
                for call in calls {
                    let reached = match &reached {
                        Ok((reached, connection)) => match call.written_on {
                            Some(written_on) if *connection != Some(written_on) => Err(replaced()),
                            _ => Ok(*reached),
                        },
                        Err(error) => Err(error.clone()),
                    };
                    let too_few = reached.as_ref().is_ok_and(|reached| *reached < wanted);
                    if too_few && !is_whole && now < call.until {
                        runner.again(call);
                    } else {
                        // A caller that has gone away need not know.
                        call.tell.send(reached).ok();
                    }
                }
            }
        }
    }

    /// Sends one `WAIT`. Returns how many replicas have the writes, and the connection that it was sent on.
    async fn wait_once(
        &self,
        line: &Line,
        key: &[u8],
        within: Duration,
    ) -> RedisResult<(i64, Option<u64>)> {
        let mut wait = redis::cmd("WAIT");
        // Redis takes 0 as no limit.
        wait.arg(self.settings.wait_replicas).arg(within.as_millis().max(1).to_string());
        let Opened { number, mut connection } = self.open(&line.opened).await?;
        let (reached, number) = match &mut connection {
            Connection::One(connection) => {
                (connection.req_packed_command(&wait).await?, Some(number))
            }
            Connection::Cluster(connection) => {
                let node = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, Master));
                (connection.route_command(wait, RoutingInfo::SingleNode(node)).await?, None)
            }
        };
        match reached {
            Value::Int(reached) => Ok((reached, number)),
            other => Err(other.extract_error().err().unwrap_or_else(|| {
                (ErrorKind::Client, "the server did not count its replicas").into()
            })),
        }
    }

    /// Opens new connections for further calls. Calls that are under way keep theirs.
    pub(super) fn leave(&self) {
        for line in &self.lines {
            // A locked connection is being opened.
            if let Ok(mut line) = line.opened.try_lock() {
                *line = None;
            }
        }
    }

    /// Opens a connection for reads that wait for as long as `block`.
    pub(super) async fn connect_apart(&self, block: Duration) -> Result<Connection, StoreError> {
        let beyond = self.settings.wait_timeout + block;
        Ok(Servers::of(&self.settings.servers(), beyond)?.connect().await?)
    }

    /// Sends a command to each server that is written to. Each answer comes with the server's
    /// address, if there are several.
    pub(super) async fn ask_each(&self, command: &Cmd) -> RedisResult<Vec<(String, Value)>> {
        match &mut self.open(&self.lines[0].opened).await?.connection {
            Connection::One(connection) => {
                let answer = connection.req_packed_command(command).await?;
                Ok(vec![(String::new(), answer.extract_error()?)])
            }
            Connection::Cluster(connection) => {
                let everywhere = RoutingInfo::MultiNode((AllMasters, None));
                let answers = connection.route_command(command.clone(), everywhere).await?;
                Ok(FromRedisValue::from_redis_value(answers)?)
            }
        }
    }

    async fn try_once(
        &self,
        line: &Mutex<Option<Opened>>,
        command: &Cmd,
    ) -> RedisResult<ServerAnswer> {
        let Opened { number, mut connection } = self.open(line).await?;
        let answer = connection.req_packed_command(command).await.and_then(Value::extract_error);
        // An answer may be missing because the connection is gone and nobody noticed.
        // The client of a Cluster replaces connections by itself, but may wait for itself in doing so.
        if let Err(error) = &answer
            && (error.is_timeout()
                || (self.settings.topology != Topology::Cluster
                    && (error.is_unrecoverable_error() || error.kind() == READ_ONLY)))
        {
            let mut line = line.lock().await;
            if line.as_ref().is_some_and(|opened| opened.number == number) {
                *line = None;
            }
        }
        let is_one = matches!(connection, Connection::One(_));
        Ok(ServerAnswer { value: answer?, connection: is_one.then_some(number) })
    }

    /// Returns the open connection of a line, or opens a new one. Other calls wait for it meanwhile.
    async fn open(&self, line: &Mutex<Option<Opened>>) -> RedisResult<Opened> {
        static NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let mut line = line.lock().await;
        if let Some(opened) = &*line {
            return Ok(opened.clone());
        }
        let servers = Arc::clone(&self.servers);
        let opening = self.runtime.spawn(async move { servers.connect().await });
        let connection = opening.await.unwrap_or_else(|_| Err(runtime_ended()))?;
        let number = NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let opened = Opened { number, connection };
        *line = Some(opened.clone());
        Ok(opened)
    }
}

fn runtime_ended() -> RedisError {
    (ErrorKind::Client, "the runtime of the connections has ended").into()
}

/// Nobody can say whether replicas have a write that was answered on a connection that is gone.
fn replaced() -> RedisError {
    (ErrorKind::Io, "the connection was lost before replicas had the write").into()
}

const READ_ONLY: ErrorKind = ErrorKind::Server(ServerErrorKind::ReadOnly);

/// Tells whether another try may succeed.
fn passes(error: &RedisError) -> bool {
    use ServerErrorKind::*;
    if error.is_timeout() {
        return false;
    }
    match error.kind() {
        ErrorKind::Io
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::Server(BusyLoading | TryAgain | ClusterDown | MasterDown | ReadOnly) => true,
        // Another client's script runs for too long.
        _ => error.code() == Some("BUSY"),
    }
}
