//! All that a run needs: Redis, the daemon with its streams, a sink, and who publishes.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use ssfd::{clock, signing::algorithm::Algorithm, store::Store};

use super::{
    https::Http,
    sink::{self, Arrivals, Sink},
    upstream::Upstream,
};
use crate::support::{
    TYPE,
    backend::Backend,
    block_on,
    daemon::{Daemon, Folder},
    now_micros,
    redis::Redis,
    streams,
    usage::{cpu_time, resident, resident_peak},
};

/// Events that are published together at saturation.
const BURST: u64 = 200;
/// How far publishing may be ahead of arrival at saturation: enough that nothing ever waits for it.
const AHEAD_MAX: u64 = 10_000;
/// How long to wait for SETs that do not come.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(1);
/// The stream that events reach.
const STREAM: &str = "st_addressed";

/// How SETs get across.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Push(Http),
    Poll,
}

impl Method {
    pub(crate) const ALL: [Self; 3] = [Self::Push(Http::One), Self::Push(Http::Two), Self::Poll];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Push(http) => format!("push {}", http.name()),
            Self::Poll => "poll".into(),
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) backend: Backend,
    pub(crate) method: Method,
    pub(crate) algorithm: Algorithm,
    /// Threads that sign; 0 stands for one per core, as in the daemon's settings.
    pub(crate) signers: usize,
    /// Streams that there are; events reach one of them.
    pub(crate) registered: usize,
}

/// How much is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// As much as goes through.
    Saturated,
    /// So many events a second, whatever becomes of them.
    Rate(u32),
}

/// What one run measured.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) arrivals: Arrivals,
    /// From the first publication to the last arrival.
    pub(crate) took: Duration,
    /// The daemon's processor time per SET.
    pub(crate) cpu: Duration,
    /// The most memory that the daemon ever held, in bytes.
    pub(crate) memory_peak: u64,
}

impl Measured {
    #[expect(clippy::cast_precision_loss, reason = "a million SETs at most")]
    pub(crate) fn per_second(&self) -> f64 {
        self.arrivals.ages.len() as f64 / self.took.as_secs_f64()
    }
}

/// Redis and the daemon's folder, before it is started.
pub(crate) struct Stage {
    redis: Redis,
    folder: Folder,
    backend: Backend,
}

impl Stage {
    pub(crate) fn new(backend: Backend, algorithm: Algorithm, signers: usize) -> Self {
        let redis = Redis::start();
        let settings = [
            backend.settings(&redis),
            format!("signer.threads = {signers}"),
            format!("ingest.redis.url = \"{}\"", redis.url()),
            format!("push.trusted_roots = \"{}\"", sink::AUTHORITY),
            format!("public.tls_certificate = \"{}\"", sink::CERTIFICATE),
            format!("public.tls_key = \"{}\"", sink::KEY),
        ];
        let folder = Folder::new(algorithm, &settings.join("\n"));
        sink::prepare(folder.path());
        Self { redis, folder, backend }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Does something to the store.
    pub(crate) fn fill(&self, work: impl AsyncFnOnce(&dyn Store)) {
        block_on(async {
            let store = self.backend.open(self.folder(), &self.redis).await;
            work(&*store).await;
        });
    }

    pub(crate) fn start(self) -> (Daemon, Upstream, Redis) {
        let upstream = Upstream::new(self.redis.connection());
        (Daemon::start_in(self.folder), upstream, self.redis)
    }
}

pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    sink: Sink,
    upstream: Upstream,
    /// What the daemon held in memory before anything was published.
    pub(crate) memory_idle: u64,
    _redis: Redis,
}

impl Scene {
    pub(crate) fn start(plan: &Plan) -> Self {
        let stage = Stage::new(plan.backend, plan.algorithm, plan.signers);
        let folder = stage.folder().to_owned();
        let (pushed, delivery) = match plan.method {
            Method::Push(http) => {
                let (sink, port) = Sink::push(&folder, http);
                (Some(sink), streams::push_to(&format!("https://127.0.0.1:{port}/")))
            }
            Method::Poll => (None, ssfd::domain::stream::Delivery::Poll),
        };
        let all = streams::idle(plan.registered - 1);
        let all = all.chain([streams::addressed(STREAM, TYPE, delivery)]);
        stage.fill(async |store| streams::register(store, all).await);
        let (daemon, upstream, redis) = stage.start();
        let memory_idle = resident(daemon.pid());
        let sink = pushed
            .unwrap_or_else(|| Sink::poll(&folder, daemon.public(), daemon.manager(), STREAM));
        let mut scene = Self { daemon, sink, upstream, memory_idle, _redis: redis };
        scene.upstream.publish(BURST);
        scene.sink.await_count(BURST);
        scene.sink.forget();
        scene
    }

    pub(crate) fn run(&mut self, load: Load, length: Duration) -> Measured {
        let (pid, before) = (self.daemon.pid(), self.upstream.published());
        let (cpu, began) = (cpu_time(pid), now_micros());
        match load {
            Load::Saturated => self.saturate(length),
            Load::Rate(rate) => self.upstream.publish_evenly(rate, |passed| passed < length),
        }
        let published = self.upstream.published() - before;
        self.sink.await_count(published);
        let cpu = cpu_time(pid).saturating_sub(cpu);
        let arrivals = self.sink.take();
        Measured {
            took: Duration::from_micros(arrivals.last - began),
            cpu: cpu / u32::try_from(published).expect("a benchmark's number of events"),
            memory_peak: resident_peak(pid),
            arrivals,
        }
    }

    fn saturate(&mut self, length: Duration) {
        let (began, before) = (clock::instant(), self.upstream.published());
        while began.elapsed() < length {
            if self.upstream.published() - before < self.sink.count() + AHEAD_MAX {
                self.upstream.publish(BURST);
            } else {
                thread::sleep(PAUSE);
            }
        }
    }
}

impl Sink {
    /// Waits until so many SETs came.
    pub(crate) fn await_count(&mut self, sets: u64) {
        let began: Instant = clock::instant();
        loop {
            let came = self.count();
            if sets <= came {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{came} of {sets} SETs came");
            thread::sleep(PAUSE);
        }
    }
}
