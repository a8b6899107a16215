//! A start of the daemon with many streams and a large backlog.

use std::{sync::Arc, thread, time::Duration};

use ssfd::{
    clock,
    delivery::{
        lane::Lane,
        outbox::{NewSet, SetKind},
    },
    domain::{id::StreamId, set::Origin},
    signing::algorithm::Algorithm,
    store::{Append, AppendBatch, Step, Store},
};

use uuid::Uuid;

use super::{https::Http, run::Setup, sink::Sink};
use crate::support::{
    TYPE, backend::Backend, mib, now_micros, report::Section, streams, usage::resident_peak,
};

const STREAMS: usize = 100_000;
/// The number of SETs in the backlog, unless filling the store takes too long.
const SETS: usize = 1_000_000;
const FILLING_MAX: Duration = Duration::from_secs(20);
const BATCH: usize = 1_000;
/// The longest time to wait for the first SET.
const PATIENCE: Duration = Duration::from_mins(1);
/// The time that the daemon is observed after the first SET.
const LENGTH: Duration = Duration::from_secs(5);

pub(crate) struct Backlog {
    sets: usize,
    /// The time from the start of the process to the first arrival, or `None` if no SET arrived.
    pub(crate) first: Option<Duration>,
    per_second: f64,
    pub(crate) memory_peak: u64,
}

pub(crate) fn measure(backend: Backend) -> Backlog {
    let setup = Setup::new(backend, Algorithm::Es256, 0);
    let (mut sink, port) = Sink::push(setup.folder(), Http::One);
    let mut sets = 0;
    setup.fill(async |store| {
        let all = (0..STREAMS).map(|n| {
            let endpoint = streams::push_to(&format!("https://127.0.0.1:{port}/{n}"));
            streams::of_many(n, streams::addressed(id(n).as_str(), TYPE, endpoint))
        });
        streams::register(store, all).await;
        let began = clock::instant();
        while sets < SETS && began.elapsed() < FILLING_MAX {
            append(store, sets).await;
            sets += BATCH;
        }
    });
    let (daemon, _publisher, _redis) = setup.start();
    let began = clock::instant();
    while sink.count() == 0 && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(LENGTH);
    let memory_peak = resident_peak(daemon.pid());
    let arrivals = sink.take();
    let came = u32::try_from(arrivals.ages.len()).expect("a benchmark's number of SETs");
    let first = arrivals.first.saturating_sub(daemon.spawned());
    let first = (0 < came).then_some(Duration::from_micros(first));
    Backlog { sets, first, per_second: f64::from(came) / LENGTH.as_secs_f64(), memory_peak }
}

/// Appends events for one stream each, cycling through the streams. Each SET has its own lane.
async fn append(store: &dyn Store, first: usize) {
    let events = (first..first + BATCH).map(|n| {
        let (jti, published) = (format!("{n:032x}"), now_micros());
        let claims = format!(
            r#"{{"iss":"https://localhost","iat":1775000099,"jti":"{jti}","aud":"https://rx.example",
            "txn":"{jti}","sub_id":{{"format":"email","email":"u{n}@example.com"}},
            "events":{{"{TYPE}":{{"event_timestamp":1775000099,"published":{published}}}}}}}"#
        );
        let set = NewSet {
            stream: id(n % STREAMS),
            jti: jti.parse().expect("a valid jti"),
            lane: Lane::from_i64(i64::try_from(n).expect("a million")),
            kind: SetKind::Event,
            claims: Arc::from(claims),
            identifiers: None,
        };
        let provider = "default".parse().expect("a valid name");
        let (origin, sets) = (Origin::recorded(Uuid::from_u128(n as u128), None), vec![set]);
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
    let batch = AppendBatch { events: events.collect(), position: None, now: clock::now() };
    store.append(batch, &|_| ()).await.expect("appended");
}

fn id(n: usize) -> StreamId {
    format!("st_{n}").parse().expect("a valid id")
}

impl Backlog {
    #[expect(clippy::cast_precision_loss, reason = "a million SETs at most")]
    pub(crate) fn add_to(&self, section: &mut Section, backend: Backend) {
        let first = self.first.map(|first| first.as_secs_f64());
        let rest = [Some(self.per_second), Some(mib(self.memory_peak))];
        let values = [Some(self.sets as f64), first].into_iter().chain(rest);
        section.add(&format!("{STREAMS} streams, {backend}"), values);
    }

    pub(crate) fn section() -> Section {
        Section::new("start", &["SETs wait", "first in s", "SETs/s", "peak MiB"])
    }
}
