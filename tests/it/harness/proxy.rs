//! A line to a server that a test can stall or cut.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream, unix},
    sync::watch,
    task::{AbortHandle, JoinHandle, spawn_local},
};

/// What becomes of what comes over the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Passes,
    /// Nothing moves, and nobody is told. What was sent arrives once it passes again, however late.
    Stalls,
    /// All connections are closed, and so is each that is made.
    IsCut,
}

/// Stands between a program and a server on a Unix socket, until it goes out of scope.
pub(crate) struct Proxy {
    folder: TempDir,
    line: watch::Sender<Line>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.line.send_replace(Line::IsCut);
    }
}

impl Proxy {
    /// Must be called where tasks of this thread can be spawned.
    pub(crate) fn to(server: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder for a socket");
        let listener = UnixListener::bind(socket_in(&folder)).expect("a socket");
        let line = watch::Sender::new(Line::Passes);
        let (server, state) = (server.to_owned(), line.clone());
        let accepting = spawn_local(async move {
            while let Ok((client, _)) = listener.accept().await {
                spawn_local(carry(client, server.clone(), state.subscribe()));
            }
        });
        Self { folder, line, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", socket_in(&self.folder).display())
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

fn socket_in(folder: &TempDir) -> PathBuf {
    folder.path().join("line.sock")
}

/// Carries bytes both ways until one end closes, or the line is cut.
async fn carry(client: UnixStream, server: PathBuf, line: watch::Receiver<Line>) {
    let Ok(server) = UnixStream::connect(server).await else { return };
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let there = spawn_local(one_way(from_client, to_server, line.clone()));
    let back = spawn_local(one_way(from_server, to_client, line.clone()));
    // An end that goes away takes the other with it.
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
    mut line: watch::Receiver<Line>,
) {
    let mut bytes = [0; 16 << 10];
    loop {
        let mut cut = line.clone();
        let count = tokio::select! {
            read = from.read(&mut bytes) => read.unwrap_or(0),
            _ = cut.wait_for(|line| *line == Line::IsCut) => 0,
        };
        if count == 0 {
            return;
        }
        let moves = line
            .wait_for(|line| *line != Line::Stalls)
            .await
            .is_ok_and(|line| *line == Line::Passes);
        if !moves {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
