//! What it costs to read and settle a SET by how many others wait in its stream: to be flat.
//!
//! - `behind`: all that waits is behind the heads of few lanes, each of which waits for its retry;
//! - `put_off`: each SET has a lane of its own, and waits for its retry;
//! - `ready`: each SET has a lane of its own, and can be sent.
//!
//! Criterion's own statistics need no more: each is measured at several depths.

use std::{fs, path::Path, sync::Arc, time::Duration};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use ssfd::{
    delivery::{
        lane::Lane,
        outbox::{Disposition, Kind, NewSet, PendingSet, Reading, Settlement},
    },
    domain::{
        audience::Audience,
        id::StreamId,
        set::Origin,
        status::StreamStatus,
        stream::{Delivery, PushEndpoint, StreamConfig},
        subject::{format::SubjectFormat, list::DefaultSubjects},
        time::Timestamp,
    },
    store::{
        Append, AppendBatch, Store,
        sqlite::{SqliteSettings, SqliteStore},
    },
};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Half a window, as the machine reads it.
const BATCH: usize = 128;
const DEPTHS: [usize; 3] = [1_000, 10_000, 100_000];
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn main() {
    let measured = std::env::args().any(|arg| arg == "--bench");
    let mut criterion = Criterion::default()
        .output_directory(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("outbox"))
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    // `cargo test` runs this too, and measures nothing.
    let depths = if measured { &DEPTHS[..] } else { &[100][..] };
    for depth in depths {
        for (name, lanes, fails) in
            [("behind", 64, true), ("put_off", *depth, true), ("ready", *depth, false)]
        {
            measure(&mut criterion, name, *depth, lanes, fails);
        }
    }
    criterion.final_summary();
}

/// A stream with `depth` SETs that wait in `lanes`, whose heads have failed or not; then batches of
/// new SETs, each in a lane of its own, are appended, read and settled.
fn measure(criterion: &mut Criterion, name: &str, depth: usize, lanes: usize, fails: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outbox-store");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).expect("a folder");
    let settings = SqliteSettings { path: folder.join("ssfd.db"), ..SqliteSettings::default() };
    let store = SqliteStore::open(&settings).expect("opens");
    let outbox = Outbox { runtime, store, stream: "st_1".parse().expect("a valid id") };
    outbox.fill(depth, lanes, fails);

    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut next = depth;
    group.bench_function(BenchmarkId::from_parameter(depth), |bencher| {
        bencher.iter_batched(
            || {
                outbox.append((next..next + BATCH).map(|n| (n, n)));
                next += BATCH;
            },
            |()| outbox.settle(outbox.read(), &Disposition::Delivered),
            BatchSize::PerIteration,
        );
    });
}

struct Outbox {
    runtime: Runtime,
    store: SqliteStore,
    stream: StreamId,
}

impl Outbox {
    fn fill(&self, depth: usize, lanes: usize, fails: bool) {
        let endpoint = PushEndpoint::new("https://rx.example/in", None, false).expect("valid");
        let stream = StreamConfig {
            id: self.stream.clone(),
            provider: "acme".parse().expect("a valid name"),
            receiver: "rx".parse().expect("a valid id"),
            audience: Audience::one("https://rx.example").expect("not empty"),
            events_requested: None,
            delivery: Delivery::Push(endpoint),
            description: None,
            default_subjects: DefaultSubjects::All,
            subject_format: SubjectFormat::AsPublished,
            status: StreamStatus::Enabled,
            reason: None,
            version: 1,
            created_at: NOW,
        };
        self.runtime.block_on(self.store.create_stream(stream, 1)).expect("created");
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

    /// Appends SETs, each with its number and its lane.
    fn append(&self, sets: impl Iterator<Item = (usize, usize)>) {
        let events = sets.map(|(number, lane)| {
            let set = NewSet {
                stream: self.stream.clone(),
                jti: format!("{number:032x}").parse().expect("a valid jti"),
                lane: Lane::from_i64(i64::try_from(lane).expect("few")),
                kind: Kind::Event,
                claims: Arc::from("x".repeat(600)),
                identifiers: None,
            };
            let provider = "acme".parse().expect("a valid name");
            let origin = Origin::recorded(Uuid::from_u128(number as u128), None);
            let sets = vec![set];
            Append { provider, origin, event_id: None, sets, opt_out: None, record: None }
        });
        let batch = AppendBatch { events: events.collect(), position: None, now: NOW };
        self.runtime.block_on(self.store.append(batch)).expect("appended");
    }

    fn read(&self) -> Vec<PendingSet> {
        let reading = Reading { busy: Vec::new(), fresh: BATCH / 2, retries: BATCH / 2 };
        let due = self.runtime.block_on(self.store.read_due(&self.stream, reading, NOW));
        due.expect("readable").sets
    }

    fn settle(&self, sets: Vec<PendingSet>, disposition: &Disposition) {
        let settlements = sets
            .into_iter()
            .map(|set| Settlement { seq: set.seq, disposition: disposition.clone() })
            .collect();
        let settled = self.store.settle(&self.stream, settlements, NOW);
        self.runtime.block_on(settled).expect("settled");
    }
}
