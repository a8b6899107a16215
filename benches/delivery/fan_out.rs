//! One event for many streams: its cost, and the delay that it causes to another stream.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ssfd::signing::algorithm::Algorithm;

use super::{
    https::Http,
    publisher::Publisher,
    run::Setup,
    sink::{Arrivals, Sink},
};
use crate::support::{
    TYPE,
    backend::Backend,
    daemon::Daemon,
    mib, micros, millis, now_micros,
    redis::Redis,
    report::Section,
    streams,
    usage::{cpu_time, resident_peak},
};

/// The numbers of streams. Each group requests an event type of its own.
const FEW: usize = 1_000;
const MANY: usize = 10_000;
/// The number of events for each group, one after the other.
const EVENTS: u32 = 3;
/// The events per second for another stream, and the time that it is observed without any other
/// load.
const RATE: u32 = 200;
const ALONE: Duration = Duration::from_secs(3);

pub(crate) struct FanOut {
    pub(crate) few: Fanned,
    pub(crate) many: Fanned,
    /// The SETs of the other stream while there was no other load.
    pub(crate) alone: Arrivals,
}

/// The measurements of events for many streams.
pub(crate) struct Fanned {
    /// The average time from a publication to its last arrival.
    took: Duration,
    /// The processor time of the daemon per SET.
    pub(crate) cpu: Duration,
    memory_peak: u64,
    /// The SETs of the other stream meanwhile.
    pub(crate) other: Arrivals,
}

struct FanOutRun {
    daemon: Daemon,
    publisher: Publisher,
    redis: Redis,
    fan: Sink,
    other: Sink,
}

pub(crate) fn measure(backend: Backend) -> FanOut {
    let setup = Setup::new(backend, Algorithm::Es256, 0);
    let [(fan, fan_port), (other, other_port)] =
        [(); 2].map(|()| Sink::push(setup.folder(), Http::One));
    let types = [few_type(), streams::other_type()];
    let fanned = [FEW, MANY].into_iter().zip(types).flat_map(|(count, event_type)| {
        (0..count).map(move |n| {
            let endpoint = streams::push_to(&format!("https://127.0.0.1:{fan_port}/{n}"));
            streams::addressed(&format!("st_{count}_{n}"), &event_type, endpoint)
        })
    });
    let endpoint = streams::push_to(&format!("https://127.0.0.1:{other_port}/"));
    let all = fanned.enumerate().map(|(n, stream)| streams::of_many(n, stream));
    let all = all.chain([streams::addressed("st_other", TYPE, endpoint)]);
    setup.fill(async |store| streams::register(store, all).await);
    let (daemon, publisher, redis) = setup.start();
    let mut run = FanOutRun { daemon, publisher, redis, fan, other };
    run.publisher.publish(1);
    run.other.await_count(1);
    run.other.forget();

    let before = run.publisher.published();
    run.publisher.publish_evenly(RATE, |passed| passed < ALONE);
    run.other.await_count(run.publisher.published() - before);
    let alone = run.other.take();
    let few = run.fan(&few_type(), FEW);
    FanOut { few, many: run.fan(&streams::other_type(), MANY), alone }
}

/// Returns an event type without required members that no other stream requests.
fn few_type() -> String {
    TYPE.replace("session-revoked", "session-presented")
}

impl FanOutRun {
    fn fan(&mut self, event_type: &str, streams: usize) -> Fanned {
        let sets = u32::try_from(streams).expect("thousands");
        let (pid, done) = (self.daemon.pid(), AtomicBool::new(false));
        let (cpu, began) = (cpu_time(pid), now_micros());
        let mut beside = Publisher::new(self.redis.connection());
        thread::scope(|scope| {
            scope.spawn(|| beside.publish_evenly(RATE, |_| !done.load(Ordering::Relaxed)));
            for n in 1..=EVENTS {
                self.publisher.publish_of(event_type, 1);
                self.fan.await_count((n * sets).into());
            }
            done.store(true, Ordering::Relaxed);
        });
        let cpu = cpu_time(pid).saturating_sub(cpu);
        self.other.await_count(beside.published());
        Fanned {
            took: Duration::from_micros(self.fan.take().last - began) / EVENTS,
            cpu: cpu / (EVENTS * sets),
            memory_peak: resident_peak(pid),
            other: self.other.take(),
        }
    }
}

impl FanOut {
    pub(crate) fn section(&self, backend: Backend) -> Section {
        let columns = ["took ms", "CPU µs", "peak MiB", "other p50", "other p99"];
        let mut section = Section::new(&format!("one event to many streams, {backend}"), &columns);
        let ages = |ages: &Arrivals| [0.5, 0.99].map(|quantile| Some(millis(ages.age(quantile))));
        let [p50, p99] = ages(&self.alone);
        section.add("none", [None, None, None, p50, p99]);
        for (streams, fanned) in [(FEW, &self.few), (MANY, &self.many)] {
            let [p50, p99] = ages(&fanned.other);
            let cost = [millis(fanned.took), micros(fanned.cpu), mib(fanned.memory_peak)];
            let cost = cost.map(Some).into_iter();
            section.add(&format!("to {streams}"), cost.chain([p50, p99]));
        }
        section
    }
}
