//! One run: Redis, the daemon with its streams, a sink and a publisher.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use ssfd::{clock, signing::algorithm::Algorithm, store::Store};

use super::{
    https::Http,
    publisher::Publisher,
    sink::{self, Arrivals, Sink},
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

/// The number of events that are published together at saturation.
const BURST: u64 = 200;
/// The number of SETs that may be on their way at saturation. The number is high enough that the
/// daemon never waits for the publisher.
const AHEAD_MAX: u64 = 10_000;
/// The longest time to wait for SETs.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(1);
/// The stream that gets the events.
const STREAM: &str = "st_addressed";

/// The delivery method.
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

/// The parameters of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) backend: Backend,
    pub(crate) method: Method,
    pub(crate) algorithm: Algorithm,
    /// The number of signing threads. 0 means one per core, as in the daemon's settings.
    pub(crate) signers: usize,
    /// The number of registered streams. Events are for one of them.
    pub(crate) registered: usize,
}

/// The rate of published events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// The highest rate that the daemon can deliver.
    Saturated,
    /// A fixed number of events per second, whether they are delivered or not.
    Rate(u32),
}

/// The measurements of one load.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) arrivals: Arrivals,
    /// The time from the first publication to the last arrival.
    pub(crate) took: Duration,
    /// The processor time of the daemon per SET.
    pub(crate) cpu: Duration,
    /// The peak memory of the daemon, in bytes.
    pub(crate) memory_peak: u64,
}

impl Measured {
    #[expect(clippy::cast_precision_loss, reason = "a million SETs at most")]
    pub(crate) fn per_second(&self) -> f64 {
        self.arrivals.ages.len() as f64 / self.took.as_secs_f64()
    }
}

/// Redis and the folder of a daemon that is not started yet.
pub(crate) struct Setup {
    redis: Redis,
    folder: Folder,
    backend: Backend,
}

impl Setup {
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

    /// Changes the store before the daemon starts.
    pub(crate) fn fill(&self, work: impl AsyncFnOnce(&dyn Store)) {
        block_on(async {
            let store = self.backend.open(self.folder(), &self.redis).await;
            work(&*store).await;
        });
    }

    pub(crate) fn start(self) -> (Daemon, Publisher, Redis) {
        let publisher = Publisher::new(self.redis.connection());
        (Daemon::start_in(self.folder), publisher, self.redis)
    }
}

pub(crate) struct Run {
    pub(crate) daemon: Daemon,
    sink: Sink,
    publisher: Publisher,
    /// The memory of the daemon before anything was published, in bytes.
    pub(crate) memory_idle: u64,
    _redis: Redis,
}

impl Run {
    pub(crate) fn start(plan: &Plan) -> Self {
        let setup = Setup::new(plan.backend, plan.algorithm, plan.signers);
        let folder = setup.folder().to_owned();
        let (pushed, delivery) = match plan.method {
            Method::Push(http) => {
                let (sink, port) = Sink::push(&folder, http);
                (Some(sink), streams::push_to(&format!("https://127.0.0.1:{port}/")))
            }
            Method::Poll => (None, ssfd::domain::stream::Delivery::Poll),
        };
        let all = streams::idle(plan.registered - 1);
        let all = all.chain([streams::addressed(STREAM, TYPE, delivery)]);
        setup.fill(async |store| streams::register(store, all).await);
        let (daemon, publisher, redis) = setup.start();
        let memory_idle = resident(daemon.pid());
        let sink = pushed
            .unwrap_or_else(|| Sink::poll(&folder, daemon.public(), daemon.manager(), STREAM));
        let mut run = Self { daemon, sink, publisher, memory_idle, _redis: redis };
        run.publisher.publish(BURST);
        run.sink.await_count(BURST);
        run.sink.forget();
        run
    }

    pub(crate) fn measure(&mut self, load: Load, length: Duration) -> Measured {
        let (pid, before) = (self.daemon.pid(), self.publisher.published());
        let (cpu, began) = (cpu_time(pid), now_micros());
        match load {
            Load::Saturated => self.saturate(length),
            Load::Rate(rate) => self.publisher.publish_evenly(rate, |passed| passed < length),
        }
        let published = self.publisher.published() - before;
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
        let (began, before) = (clock::instant(), self.publisher.published());
        while began.elapsed() < length {
            if self.publisher.published() - before < self.sink.count() + AHEAD_MAX {
                self.publisher.publish(BURST);
            } else {
                thread::sleep(PAUSE);
            }
        }
    }
}

impl Sink {
    /// Waits until this number of SETs has arrived.
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
