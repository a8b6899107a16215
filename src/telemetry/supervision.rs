//! Keeps long-lived tasks and threads under supervision. One that panics is started again if it can be,
//! and otherwise the process ends with an error. `/readyz` names it meanwhile.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{metrics, readiness::Readiness};

/// The wait before a task is started again, so that one that fails at once does not spin.
const RESTART_WAIT: Duration = Duration::from_secs(1);

/// Starts tasks that shall run for as long as the process.
#[derive(Debug, Clone)]
pub struct Supervisor {
    readiness: Arc<Readiness>,
    ended: Arc<watch::Sender<Option<String>>>,
}

impl Supervisor {
    pub fn new(readiness: Arc<Readiness>) -> Self {
        Self { readiness, ended: Arc::new(watch::Sender::new(None)) }
    }

    pub fn readiness(&self) -> &Arc<Readiness> {
        &self.readiness
    }

    /// Runs a task without which the process is of no use. Returning is its orderly end, and after a panic
    /// the process ends.
    pub fn essential(
        &self,
        name: &str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let (supervisor, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                supervisor.report_end(&name);
            }
        })
    }

    /// Runs a task, and makes it anew after a panic. Returning is its orderly end.
    pub fn restarting<F>(
        &self,
        name: &str,
        mut make: impl FnMut() -> F + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (supervisor, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            // The panic itself is in the log.
            while AssertUnwindSafe(make()).catch_unwind().await.is_err() {
                metrics::task_restarted();
                supervisor.readiness.lost(&part(&name));
                tracing::error!(task = name, "a task ended unexpectedly and is started again");
                sleep(RESTART_WAIT).await;
                supervisor.readiness.gained(&part(&name));
            }
        })
    }

    /// Runs the work of a thread, and runs it again after a panic. Returning is its orderly end.
    pub fn keep_running(&self, name: &str, work: impl FnMut()) {
        run_again(name, work, |runs| {
            let part = part(name);
            if runs { self.readiness.gained(&part) } else { self.readiness.lost(&part) }
        });
    }

    /// Notes that something ended without which the process is of no use.
    pub fn report_end(&self, name: &str) {
        self.readiness.lost(&part(name));
        tracing::error!(task = name, "a task ended unexpectedly, and the process ends with it");
        self.ended.send_replace(Some(name.to_owned()));
    }

    /// Waits until something essential has ended. Returns its name.
    pub async fn ended(&self) -> String {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(name) => name.clone().unwrap_or_default(),
            // The sender is part of this.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Runs the work of a thread that only saves work, or that is in use before there is a [`Supervisor`]. The
/// work runs again after a panic. Returning is its orderly end.
pub fn keep_running(name: &str, work: impl FnMut()) {
    run_again(name, work, |_| ());
}

/// `tell` learns whether the work runs.
fn run_again(name: &str, mut work: impl FnMut(), tell: impl Fn(bool)) {
    // The panic itself is in the log.
    while catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
        metrics::task_restarted();
        tell(false);
        tracing::error!(thread = name, "the work of a thread panicked and is started again");
        thread::sleep(RESTART_WAIT);
        tell(true);
    }
}

/// The name of a task in `/readyz`.
fn part(name: &str) -> String {
    format!("task {name}")
}

#[cfg(test)]
mod tests {
    use std::{
        panic::resume_unwind,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use futures_util::FutureExt as _;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn an_essential_task_that_panics_is_reported_and_one_that_returns_is_not() {
        let supervisor = Supervisor::new(Arc::default());
        supervisor.essential("short", async {}).await.expect("it returned");
        assert!(supervisor.ended().now_or_never().is_none());
        supervisor
            .essential("lease", async { resume_unwind(Box::new("an invariant broke")) })
            .await
            .expect("the panic was caught");
        assert_eq!(supervisor.ended().await, "lease");
        assert_eq!(supervisor.readiness().waiting_for(), ["task lease"]);
    }

    #[test]
    fn the_work_of_a_thread_goes_on_after_a_panic_and_is_missing_meanwhile() {
        let supervisor = Supervisor::new(Arc::default());
        let (mut runs, missing) = (0, Mutex::new(Vec::new()));
        run_again(
            "signer",
            || {
                runs += 1;
                if runs < 3 {
                    resume_unwind(Box::new("an invariant broke"));
                }
            },
            |runs| missing.lock().expect("no panic").push(runs),
        );
        assert_eq!(runs, 3);
        assert_eq!(*missing.lock().expect("no panic"), [false, true, false, true]);
        let readiness = Arc::clone(supervisor.readiness());
        let mut panics = true;
        supervisor.keep_running("signer", || {
            if std::mem::take(&mut panics) {
                resume_unwind(Box::new("an invariant broke"));
            }
        });
        assert!(readiness.waiting_for().is_empty());
        assert!(supervisor.ended().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_task_that_panics_is_made_anew() {
        let supervisor = Supervisor::new(Arc::default());
        let (made, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (counted, notify) = (Arc::clone(&made), Arc::clone(&again));
        let task = supervisor.restarting("reader", move || {
            let (number, notify) = (counted.fetch_add(1, Ordering::SeqCst), Arc::clone(&notify));
            async move {
                if number < 2 {
                    notify.notify_one();
                    resume_unwind(Box::new("an invariant broke"));
                }
            }
        });
        again.notified().await;
        task.await.expect("the panics were caught");
        assert_eq!(made.load(Ordering::SeqCst), 3);
        assert!(supervisor.readiness().waiting_for().is_empty());
        assert!(supervisor.ended().now_or_never().is_none());
    }
}
