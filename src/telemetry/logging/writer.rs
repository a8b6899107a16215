//! Writes log lines on a thread of its own, so that nothing else waits for the reader of the log, and
//! nothing fails when the log cannot be written.
//!
//! ```text
//!  any thread ─▶ LineSender ─▶ bounded queue ─▶ writing thread ─▶ standard error
//!                   │ full: the line is lost          │ an error: the line is lost
//!                   └───────────────▶ counted ◀───────┘
//! ```

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use crate::telemetry::{metrics, supervision::keep_running};

/// The most bytes of lines that wait, whatever `log.queue_max` allows.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// How long the end of the process waits for the lines that are still in the queue.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes lines without waiting.
#[derive(Debug, Clone)]
pub(super) struct LineSender {
    queue: SyncSender<Message>,
    bytes: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

/// Writes what is left in the queue when it is dropped, unless that takes too long.
#[derive(Debug)]
#[must_use = "the last lines are lost unless this is kept until the end of the process"]
pub struct LogGuard(SyncSender<Message>);

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Starts the writing thread. At most `queue_max` lines wait for it.
pub(super) fn start(
    mut output: impl Write + Send + 'static,
    queue_max: usize,
) -> io::Result<(LineSender, LogGuard)> {
    let (queue, messages) = mpsc::sync_channel(queue_max);
    let sender = LineSender { queue: queue.clone(), bytes: Arc::default(), lost: Arc::default() };
    let (bytes, lost) = (Arc::clone(&sender.bytes), Arc::clone(&sender.lost));
    let serve = move || {
        keep_running("log-writer", || write_all(&mut output, &messages, &bytes, &lost));
    };
    thread::Builder::new().name("log-writer".into()).spawn(serve)?;
    Ok((sender, LogGuard(queue)))
}

fn write_all(
    mut output: impl Write,
    messages: &Receiver<Message>,
    bytes: &AtomicUsize,
    lost: &AtomicU64,
) {
    // After an error, a line may have been written in part.
    let mut is_cut = false;
    while let Ok(message) = messages.recv() {
        let line = match message {
            Message::Line(line) => line,
            Message::Flush(done) => {
                output.flush().ok();
                // Nobody may wait any more.
                done.try_send(()).ok();
                continue;
            }
        };
        bytes.fetch_sub(line.len(), Ordering::Relaxed);
        let begun = if is_cut { output.write_all(b"\n") } else { Ok(()) };
        let written = begun.and_then(|()| output.write_all(&line)).and_then(|()| output.flush());
        is_cut = written.is_err();
        if is_cut {
            lost.fetch_add(1, Ordering::Relaxed);
            metrics::log_lines_lost("write", 1);
            continue;
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost != 0 {
            tracing::warn!(lost, "log lines were lost before this one");
        }
    }
}

impl LineSender {
    fn send(&self, line: &[u8]) {
        let waiting = self.bytes.fetch_add(line.len(), Ordering::Relaxed);
        let fits = waiting.saturating_add(line.len()) <= QUEUE_BYTES_MAX;
        if !fits || self.queue.try_send(Message::Line(line.to_vec())).is_err() {
            self.bytes.fetch_sub(line.len(), Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
            metrics::log_lines_lost("queue", 1);
        }
    }
}

impl Write for LineSender {
    /// Takes a whole line. Never fails, because whoever logs can do nothing about it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.send(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineSender {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let (done, ended) = mpsc::sync_channel(1);
        // A full queue means that nobody reads, and then nothing is written in time either.
        if self.0.try_send(Message::Flush(done)).is_ok() {
            ended.recv_timeout(FLUSH_TIMEOUT).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// An output whose state a test changes.
    #[derive(Debug, Clone, Default)]
    struct Output(Arc<(Mutex<State>, Condvar)>);

    #[derive(Debug, Default)]
    struct State {
        is_stuck: bool,
        is_full: bool,
        writes: usize,
        written: Vec<u8>,
    }

    impl Output {
        fn set(&self, change: impl FnOnce(&mut State)) {
            change(&mut self.0.0.lock().expect("no panic"));
            self.0.1.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.0.lock().expect("no panic").written.clone()).expect("UTF-8")
        }

        fn wait_for_writes(&self, count: usize) {
            let state = self.0.0.lock().expect("no panic");
            drop(self.0.1.wait_while(state, |state| state.writes < count).expect("no panic"));
        }
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.0.lock().expect("no panic");
            state.writes += 1;
            self.0.1.notify_all();
            let mut state = self.0.1.wait_while(state, |state| state.is_stuck).expect("no panic");
            if state.is_full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_their_order_and_the_last_ones_too() {
        let output = Output::default();
        let (mut lines, guard) = start(output.clone(), 8).expect("a thread");
        for line in ["one\n", "two\n", "three\n"] {
            lines.write_all(line.as_bytes()).expect("never fails");
        }
        drop(guard);
        assert_eq!(output.text(), "one\ntwo\nthree\n");
    }

    #[test]
    fn nobody_waits_for_a_reader_and_lost_lines_are_counted() {
        let output = Output::default();
        output.set(|state| state.is_stuck = true);
        let (mut lines, guard) = start(output.clone(), 8).expect("a thread");
        lines.write_all(b"first\n").expect("never fails");
        output.wait_for_writes(1);
        for _ in 0..100 {
            lines.write_all(b"more\n").expect("never fails");
        }
        // One is being written, and eight wait.
        assert_eq!(lines.lost.load(Ordering::Relaxed), 92);
        output.set(|state| state.is_stuck = false);
        output.wait_for_writes(9);
        drop(guard);
        assert_eq!(output.text(), format!("first\n{}", "more\n".repeat(8)));
    }

    #[test]
    fn the_lines_that_wait_are_bounded_in_bytes() {
        let output = Output::default();
        output.set(|state| state.is_stuck = true);
        let (mut lines, _guard) = start(output.clone(), 1000).expect("a thread");
        let long = vec![b'x'; QUEUE_BYTES_MAX / 4];
        for _ in 0..9 {
            lines.write_all(&long).expect("never fails");
        }
        assert!(4 <= lines.lost.load(Ordering::Relaxed));
        assert!(lines.bytes.load(Ordering::Relaxed) <= QUEUE_BYTES_MAX);
        output.set(|state| state.is_stuck = false);
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let output = Output::default();
        output.set(|state| state.is_full = true);
        let (mut lines, guard) = start(output.clone(), 8).expect("a thread");
        lines.write_all(b"lost\n").expect("never fails");
        output.wait_for_writes(1);
        output.set(|state| state.is_full = false);
        lines.write_all(b"kept\n").expect("never fails");
        drop(guard);
        assert!(output.text().ends_with("kept\n"), "{:?}", output.text());
    }
}
