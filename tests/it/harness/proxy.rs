//! A proxy for a connection to a server. A test can stall or cut the connection.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream, unix},
    sync::watch,
    task::{AbortHandle, JoinHandle, spawn_local},
};

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionState {
    Open,
    /// No bytes pass, and neither end notices. Bytes that were sent arrive once the connection
    /// passes again, however late.
    Stalled,
    /// All connections are closed, and each new one is closed at once.
    Cut,
}

/// A proxy in front of a server on a Unix socket. Dropping it ends it.
pub(crate) struct Proxy {
    folder: TempDir,
    state: watch::Sender<ConnectionState>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state.send_replace(ConnectionState::Cut);
    }
}

impl Proxy {
    /// Starts the proxy on this thread, which must be able to spawn local tasks.
    pub(crate) fn to(server: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder for a socket");
        let listener = UnixListener::bind(socket_in(&folder)).expect("a socket");
        let state = watch::Sender::new(ConnectionState::Open);
        let (server, current) = (server.to_owned(), state.clone());
        let accepting = spawn_local(async move {
            while let Ok((client, _)) = listener.accept().await {
                spawn_local(carry(client, server.clone(), current.subscribe()));
            }
        });
        Self { folder, state, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", socket_in(&self.folder).display())
    }

    pub(crate) fn set(&self, state: ConnectionState) {
        self.state.send_replace(state);
    }
}

fn socket_in(folder: &TempDir) -> PathBuf {
    folder.path().join("proxy.sock")
}

/// Copies bytes in both directions until one end closes or the connection is cut.
async fn carry(client: UnixStream, server: PathBuf, state: watch::Receiver<ConnectionState>) {
    let Ok(server) = UnixStream::connect(server).await else { return };
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let there = spawn_local(one_way(from_client, to_server, state.clone()));
    let back = spawn_local(one_way(from_server, to_client, state.clone()));
    // When one end closes, the other is closed too.
    let both: [AbortHandle; 2] = [there.abort_handle(), back.abort_handle()];
    tokio::select! {
        _ = there => {}
        _ = back => {}
    }
    both.iter().for_each(AbortHandle::abort);
}

async fn one_way(
    mut from: unix::OwnedReadHalf,
    mut to: unix::OwnedWriteHalf,
    mut state: watch::Receiver<ConnectionState>,
) {
    let mut bytes = [0; 16 << 10];
    loop {
        let mut cut = state.clone();
        let count = tokio::select! {
            read = from.read(&mut bytes) => read.unwrap_or(0),
            _ = cut.wait_for(|state| *state == ConnectionState::Cut) => 0,
        };
        if count == 0 {
            return;
        }
        let moves = state
            .wait_for(|state| *state != ConnectionState::Stalled)
            .await
            .is_ok_and(|state| *state == ConnectionState::Open);
        if !moves {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
