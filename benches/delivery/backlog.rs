//! A start with many streams and much that waits.

use std::{sync::Arc, thread, time::Duration};

use ssfd::{
    clock,
    delivery::{
        lane::Lane,
        outbox::{NewSet, SetKind},
    },
    domain::{id::StreamId, set::Origin},
    signing::algorithm::Algorithm,
    store::{Append, AppendBatch, Store},
};

use uuid::Uuid;

use super::{https::Http, scene::Stage, sink::Sink};
use crate::support::{
    TYPE, backend::Backend, mib, now_micros, report::Section, streams, usage::resident_peak,
};

const STREAMS: usize = 100_000;
/// As many SETs wait, unless filling the store takes too long.
const SETS: usize = 1_000_000;
const FILLING_MAX: Duration = Duration::from_secs(20);
const BATCH: usize = 1_000;
/// How long to wait for the first SET.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the daemon is watched after that.
const LENGTH: Duration = Duration::from_secs(5);

pub(crate) struct Backlog {
    sets: usize,
    /// From the start of the process to the first arrival; `None` if none came.
    pub(crate) first: Option<Duration>,
    per_second: f64,
    pub(crate) memory_peak: u64,
}

pub(crate) fn measure(backend: Backend) -> Backlog {
    let stage = Stage::new(backend, Algorithm::Es256, 0);
    let (mut sink, port) = Sink::push(stage.folder(), Http::One);
    let mut sets = 0;
    stage.fill(async |store| {
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
    let (daemon, _upstream, _redis) = stage.start();
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

/// Events for one stream each, the streams in turn; each SET has a lane of its own.
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
        Append { provider, origin, event_id: None, sets, opt_out: None, record: None }
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
