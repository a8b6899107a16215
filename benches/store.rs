//! The time of a store to append, read and settle a SET, by the number of other SETs in the outbox
//! of its stream. The time should not grow with that number, and should be near to that of a bare
//! client on an empty store.
//!
//! - `behind`: the other SETs are behind the heads of a few lanes, and each head waits for its
//!   retry;
//! - `put_off`: each other SET has its own lane and waits for its retry;
//! - `ready`: each other SET has its own lane and can be sent.

mod support;

use std::{sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion};
use ssfd::{
    delivery::{
        lane::Lane,
        outbox::{Disposition, NewSet, OutboxQuery, PendingSet, SetKind, Settlement},
    },
    domain::{id::StreamId, set::Origin, time::Timestamp},
    store::{Append, AppendBatch, Step, Store},
};
use tokio::runtime::Runtime;
use uuid::Uuid;

use self::support::{
    TYPE,
    backend::Backend,
    bare_store::BareStore,
    criterion::{criterion, median_micros},
    is_measured,
    redis::Redis,
    report::{Section, show},
    sample, streams,
};

/// The number of SETs in a batch, which is half a window of the daemon.
const BATCH: usize = 128;
const DEPTHS: [usize; 3] = [1_000, 10_000, 100_000];
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const STREAM: &str = "st_1";

fn main() {
    let mut criterion = criterion("store");
    // `cargo test --all-targets` runs this program too, without measuring.
    let depths = if is_measured() { &DEPTHS[..] } else { &[100][..] };
    for backend in Backend::ALL {
        measure_bare(&mut criterion, backend);
        for depth in depths {
            for (name, lanes, fails) in
                [("behind", 64, true), ("put_off", *depth, true), ("ready", *depth, false)]
            {
                let outbox = Outbox::new(backend);
                outbox.fill(*depth, lanes, fails);
                measure(&mut criterion, backend, BenchmarkId::new(name, depth), &outbox, *depth);
            }
        }
    }
    criterion.final_summary();
    if is_measured() {
        let section = section();
        section.save();
        show(&[section], false);
    }
}

fn measure_bare(criterion: &mut Criterion, backend: Backend) {
    let mut bare = BareStore::new(backend);
    let sets = u32::try_from(BATCH).expect("few");
    let mut group = criterion.benchmark_group(backend.to_string());
    group.bench_function("bare", |bencher| {
        bencher.iter(|| {
            bare.keep(sets);
            bare.settle(sets);
        });
    });
}

/// Appends, reads and settles batches of new SETs, each SET in its own lane.
fn measure(
    criterion: &mut Criterion,
    backend: Backend,
    name: BenchmarkId,
    outbox: &Outbox,
    depth: usize,
) {
    let mut next = depth;
    let mut group = criterion.benchmark_group(backend.to_string());
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            outbox.append((next..next + BATCH).map(|n| (n, n)));
            next += BATCH;
            outbox.settle(outbox.read(), &Disposition::Delivered);
        });
    });
}

struct Outbox {
    runtime: Runtime,
    store: Box<dyn Store>,
    stream: StreamId,
    claims: Arc<str>,
    _folder: tempfile::TempDir,
    _redis: Redis,
}

impl Outbox {
    fn new(backend: Backend) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (runtime, redis) = (runtime.expect("a runtime"), Redis::start());
        let folder = tempfile::tempdir().expect("a folder");
        let store = runtime.block_on(backend.open(folder.path(), &redis));
        let stream = streams::addressed(STREAM, TYPE, streams::push_to("https://rx.example/in"));
        runtime.block_on(streams::register(&*store, [stream.clone()]));
        let claims = sample::claims().to_string().into();
        Self { runtime, store, stream: stream.id, claims, _folder: folder, _redis: redis }
    }

    /// Fills the outbox with `depth` SETs in `lanes` lanes. `fails` tells whether the heads have
    /// failed and wait for a retry.
    fn fill(&self, depth: usize, lanes: usize, fails: bool) {
        for start in (0..depth).step_by(1000) {
            self.append((start..(start + 1000).min(depth)).map(|n| (n, n % lanes)));
        }
        if fails {
            let put_off = Disposition::RetryAt {
                due_at: NOW + Duration::from_hours(1),
                error: "unavailable: status 503".into(),
            };
            loop {
                let heads = self.read();
                if heads.is_empty() {
                    break;
                }
                self.settle(heads, &put_off);
            }
        }
    }

    /// Appends SETs, each given by its number and its lane.
    fn append(&self, sets: impl Iterator<Item = (usize, usize)>) {
        let events = sets.map(|(number, lane)| {
            let set = NewSet {
                stream: self.stream.clone(),
                jti: format!("{number:032x}").parse().expect("a valid jti"),
                lane: Lane::from_i64(i64::try_from(lane).expect("few")),
                kind: SetKind::Event,
                claims: Arc::clone(&self.claims),
                identifiers: None,
            };
            let provider = "default".parse().expect("a valid name");
            let origin = Origin::recorded(Uuid::from_u128(number as u128), None);
            let sets = vec![set];
            Append {
                provider,
                origin,
                event_id: None,
                id_kept_longer: Duration::ZERO,
                sets,
                opt_out: None,
                record: None,
                step: Step::Whole,
            }
        });
        let batch = AppendBatch { events: events.collect(), position: None, now: NOW };
        self.runtime.block_on(self.store.append(batch, &|_| ())).expect("appended");
    }

    fn read(&self) -> Vec<PendingSet> {
        let reading = OutboxQuery { busy: Vec::new(), fresh: BATCH / 2, retries: BATCH / 2 };
        let due = self.runtime.block_on(self.store.read_due(&self.stream, reading, NOW));
        due.expect("readable").sets
    }

    fn settle(&self, sets: Vec<PendingSet>, disposition: &Disposition) {
        let settlements = sets
            .into_iter()
            .map(|set| (set.seq, disposition.clone()))
            .map(|(seq, disposition)| Settlement { seq, disposition, version: 1 })
            .collect();
        let settled = self.store.settle(&self.stream, settlements, NOW);
        self.runtime.block_on(settled).expect("settled");
    }
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn section() -> Section {
    let mut section = Section::new("store, waiting in the stream", &["µs per SET", "÷ bare"]);
    for backend in Backend::ALL {
        let median = |id: &str| median_micros("store", &format!("{backend}/{id}"));
        let Some(bare) = median("bare") else { continue };
        section.add(&format!("{backend}, bare"), [Some(bare / BATCH as f64), None]);
        for name in ["behind", "put_off", "ready"] {
            for depth in DEPTHS {
                let Some(ours) = median(&format!("{name}/{depth}")) else { continue };
                let values = [ours / BATCH as f64, ours / bare].map(Some);
                section.add(&format!("{backend}, {depth} {name}"), values);
            }
        }
    }
    section
}
