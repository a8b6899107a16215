//! One event for many streams: what it takes, and what it does to another stream meanwhile.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ssfd::signing::algorithm::Algorithm;

use super::{
    https::Http,
    scene::Stage,
    sink::{Arrivals, Sink},
    upstream::Upstream,
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

/// Few and many streams, each with a type that they ask for.
const FEW: usize = 1_000;
const MANY: usize = 10_000;
/// Events for each, one after the other.
const EVENTS: u32 = 3;
/// Events a second for another stream, and how long it is watched alone.
const RATE: u32 = 200;
const ALONE: Duration = Duration::from_secs(3);

pub(crate) struct FanOut {
    pub(crate) few: Fanned,
    pub(crate) many: Fanned,
    /// What came to the other stream while there was nothing else.
    pub(crate) alone: Arrivals,
}

/// Events that went to many streams each.
pub(crate) struct Fanned {
    /// From one publication to the last arrival, on average.
    took: Duration,
    /// The daemon's processor time per SET.
    pub(crate) cpu: Duration,
    memory_peak: u64,
    /// What came to the other stream meanwhile.
    pub(crate) other: Arrivals,
}

struct Scene {
    daemon: Daemon,
    upstream: Upstream,
    redis: Redis,
    fan: Sink,
    other: Sink,
}

pub(crate) fn measure(backend: Backend) -> FanOut {
    let stage = Stage::new(backend, Algorithm::Es256, 0);
    let [(fan, fan_port), (other, other_port)] =
        [(); 2].map(|()| Sink::push(stage.folder(), Http::One));
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
    stage.fill(async |store| streams::register(store, all).await);
    let (daemon, upstream, redis) = stage.start();
    let mut scene = Scene { daemon, upstream, redis, fan, other };
    scene.upstream.publish(1);
    scene.other.await_count(1);
    scene.other.forget();

    let before = scene.upstream.published();
    scene.upstream.publish_evenly(RATE, |passed| passed < ALONE);
    scene.other.await_count(scene.upstream.published() - before);
    let alone = scene.other.take();
    let few = scene.fan(&few_type(), FEW);
    FanOut { few, many: scene.fan(&streams::other_type(), MANY), alone }
}

/// A type that needs no members of its own, beside those of the other streams.
fn few_type() -> String {
    TYPE.replace("session-revoked", "session-presented")
}

impl Scene {
    fn fan(&mut self, event_type: &str, streams: usize) -> Fanned {
        let sets = u32::try_from(streams).expect("thousands");
        let (pid, done) = (self.daemon.pid(), AtomicBool::new(false));
        let (cpu, began) = (cpu_time(pid), now_micros());
        let mut beside = Upstream::new(self.redis.connection());
        thread::scope(|scope| {
            scope.spawn(|| beside.publish_evenly(RATE, |_| !done.load(Ordering::Relaxed)));
            for n in 1..=EVENTS {
                self.upstream.publish_of(event_type, 1);
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
