//! The threads that actors live on, each with an event loop of its own.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use actix::{Arbiter, ArbiterHandle};

use crate::telemetry::supervision::Supervisor;

/// The name of a thread where its end is reported.
const NAME: &str = "actor thread";

/// A fixed number of threads, which are taken in turn. A thread that ends unexpectedly takes its actors with
/// it, and every further actor that would live there, so the process ends with it.
pub(super) struct ActorThreads {
    threads: Vec<ArbiterHandle>,
    next: AtomicUsize,
    is_over: Arc<AtomicBool>,
}

/// Lives as long as the event loop of a thread.
struct Alive {
    supervisor: Supervisor,
    is_over: Arc<AtomicBool>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if !self.is_over.load(Ordering::SeqCst) {
            self.supervisor.report_end(NAME);
        }
    }
}

impl ActorThreads {
    /// Must be called within an actix system.
    pub(super) fn start(count: usize, supervisor: &Supervisor) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let start = |_| {
            let alive = Alive { supervisor: supervisor.clone(), is_over: Arc::clone(&is_over) };
            let thread = Arbiter::new().handle();
            // The event loop drops what it runs when it ends, also by a panic.
            thread.spawn(async move {
                let _alive = alive;
                pending::<()>().await;
            });
            thread
        };
        let threads = (0..count.max(1)).map(start).collect();
        Self { threads, next: AtomicUsize::default(), is_over }
    }

    /// Returns the thread whose turn it is.
    pub(super) fn next(&self) -> &ArbiterHandle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.threads[turn % self.threads.len()]
    }

    /// Ends all threads, and the actors that live there.
    pub(super) fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        for thread in &self.threads {
            thread.stop();
        }
    }
}

impl Drop for ActorThreads {
    fn drop(&mut self) {
        // The threads end with the system of actors.
        self.is_over.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[actix_web::test]
    async fn a_thread_that_ends_by_itself_is_reported_and_one_that_is_stopped_is_not() {
        let supervisor = Supervisor::new(Arc::default());
        let stopped = ActorThreads::start(2, &supervisor);
        stopped.stop();
        let ended = ActorThreads::start(2, &supervisor);
        assert_eq!(supervisor.ended().now_or_never(), None);
        ended.next().stop();
        assert_eq!(supervisor.ended().await, NAME);
        assert_eq!(supervisor.readiness().waiting_for(), [format!("task {NAME}")]);
    }
}
