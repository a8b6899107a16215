//! The cost of finding the streams that an event is for, by the number of streams and by the number
//! of subjects on their lists. The cost should not grow with either.

mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use ssfd::{
    clock,
    config::Config,
    directory::Directory,
    domain::{
        event::Event,
        id::StreamId,
        judgement::Judgement,
        provider::Provider,
        subject::{
            SubjectId,
            keys::SubjectKeys,
            list::{DefaultSubjects, Listed},
        },
    },
    store::Store,
};

use self::support::{
    TYPE,
    backend::{Backend, FILLED_TOGETHER},
    criterion::{criterion, median_micros},
    is_measured,
    redis::Redis,
    report::{Section, show},
    sample, streams,
};

const STREAMS: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
/// Each takes several times as long to be put into Redis as into SQLite, so there are fewer of them there.
const SUBJECTS: [(Backend, &[u64]); 2] =
    [(Backend::Sqlite, &[1_000, 100_000, 1_000_000]), (Backend::Redis, &[1_000, 100_000])];
/// Streams whose lists the subjects are on.
const LISTS: u64 = 100;
/// The number of events that the daemon reads from a publisher's Redis at a time.
const EVENTS: u64 = 500;

fn main() {
    let mut criterion = criterion("matching");
    // `cargo test --all-targets` runs this too, and measures nothing.
    let streams = if is_measured() { &STREAMS[..] } else { &STREAMS[..1] };
    let provider = Config::default().providers().expect("valid").remove(0);
    for count in streams {
        measure_directory(&mut criterion, &provider, *count);
    }
    for (backend, subjects) in SUBJECTS {
        let subjects = if is_measured() { subjects } else { &subjects[..1] };
        measure_lists(&mut criterion, &provider, backend, subjects);
    }
    criterion.final_summary();
    if is_measured() {
        let section = section();
        section.save();
        show(&[section], false);
    }
}

/// The streams of an event: one of them gets it.
fn measure_directory(criterion: &mut Criterion, provider: &Provider, count: usize) {
    let endpoint = streams::push_to("https://rx.example/in");
    let addressed = streams::addressed("st_addressed", TYPE, endpoint);
    let all = streams::idle(count - 1).chain([addressed]).collect();
    let directory = Directory::new(vec![provider.clone()], all);
    let event = Event::parse(sample::event(TYPE, 0).as_bytes(), provider).expect("valid");
    let listed = Listed::default();
    let mut group = criterion.benchmark_group("directory");
    group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
        bencher.iter(|| {
            let judgement = Judgement::new(provider, black_box(&event), &listed);
            let found = directory.candidates(&provider.name, &judgement);
            found.streams.iter().filter(|stream| judgement.of_candidate(stream).is_ok()).count()
        });
    });
}

/// The lists that the subjects of events are on, every other one on one list and the rest on none.
fn measure_lists(
    criterion: &mut Criterion,
    provider: &Provider,
    backend: Backend,
    subjects: &[u64],
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (runtime, redis) = (runtime.expect("a runtime"), Redis::start());
    let folder = tempfile::tempdir().expect("a folder");
    let store = runtime.block_on(backend.open(folder.path(), &redis));
    runtime.block_on(async {
        let endpoint = streams::push_to("https://rx.example/in");
        let listing = (0..LISTS).map(|n| streams::addressed(&list(n), TYPE, endpoint.clone()));
        streams::register(&*store, listing).await;
    });
    let mut listed = 0;
    for count in subjects {
        runtime.block_on(enlist(&*store, provider, listed..*count));
        listed = *count;
        let keys = |n| keys(provider, n * (count * 2 / EVENTS).max(1));
        let keys: Vec<_> = (0..EVENTS).map(keys).collect();
        let mut group = criterion.benchmark_group(backend.to_string());
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let listed = store.listed(&provider.name, keys.clone(), clock::now());
                runtime.block_on(listed).expect("readable")
            });
        });
    }
}

async fn enlist(store: &dyn Store, provider: &Provider, subjects: std::ops::Range<u64>) {
    let entering = subjects.map(|n| async move {
        let stream: StreamId = list(n % LISTS).parse().expect("a valid id");
        let now = clock::now();
        let (entry, change) = DefaultSubjects::None.add(&keys(provider, n), now);
        store.change_list(&stream, entry, change, usize::MAX, now).await
    });
    let mut entering = stream::iter(entering).buffer_unordered(FILLED_TOGETHER.get());
    while let Some(entered) = entering.next().await {
        entered.expect("entered");
    }
}

fn list(n: u64) -> String {
    format!("st_{n}")
}

fn keys(provider: &Provider, n: u64) -> SubjectKeys {
    let subject = json!({"format": "email", "email": format!("u{n}@example.com")});
    SubjectKeys::of(&provider.name, &SubjectId::try_from(subject).expect("a valid subject"))
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn section() -> Section {
    let mut section = Section::new("matching", &["µs an event"]);
    for count in STREAMS {
        let median = median_micros("matching", &format!("directory/{count}"));
        section.add(&format!("streams of a type, {count} streams"), [median]);
    }
    for (backend, subjects) in SUBJECTS {
        for count in subjects {
            let median = median_micros("matching", &format!("{backend}/{count}"));
            let median = median.map(|median| median / EVENTS as f64);
            section.add(&format!("lists of a subject, {count} subjects, {backend}"), [median]);
        }
    }
    section
}
