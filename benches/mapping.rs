//! The cost of mapping native records by the presets of the binary: for each preset, the mean over the
//! records of its examples, most of which give an event, and the cost of a record that no rule takes.

mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use serde_json::{Value, json};
use ssfd::{
    clock,
    domain::{
        json,
        mapping::{Example, Mapping, MappingSettings, Preset, RequestFacts, Scope},
    },
};

use self::support::{
    criterion::{criterion, median_micros},
    is_measured,
    report::{Section, show},
};

fn main() {
    let mut criterion = criterion("mapping");
    // `cargo test --all-targets` runs this too, and measures nothing.
    let presets =
        if is_measured() { Preset::all() } else { &Preset::all()[..Preset::all().len().min(1)] };
    for preset in presets {
        measure(&mut criterion, preset);
    }
    criterion.final_summary();
    if is_measured() {
        let section = section();
        section.save();
        show(&[section], false);
    }
}

fn measure(criterion: &mut Criterion, preset: &Preset) {
    let mapping = everything(preset);
    let inputs: Vec<_> =
        preset.examples.iter().flat_map(|example| inputs(&mapping, example)).collect();
    let now = clock::now();
    let mut group = criterion.benchmark_group("examples");
    group.bench_function(BenchmarkId::from_parameter(preset.name()), |bencher| {
        bencher.iter(|| {
            for (record, request) in &inputs {
                black_box(mapping.apply(black_box(record), request, now));
            }
        });
    });
    drop(group);
    let (noise, request) = (json!({"type": "noise", "id": "e-1"}), RequestFacts::default());
    let mut group = criterion.benchmark_group("noise");
    group.bench_function(BenchmarkId::from_parameter(preset.name()), |bencher| {
        bencher.iter(|| mapping.apply(black_box(&noise), &request, now));
    });
}

/// Compiles a preset with all of its rules.
fn everything(preset: &Preset) -> Mapping {
    let given = preset
        .vars
        .iter()
        .filter_map(|(name, declared)| Some((name.clone(), declared.example.clone()?)));
    let examples = preset.examples.iter();
    let mut enable: Vec<_> = examples.flat_map(|example| example.enable.clone()).collect();
    enable.sort_unstable();
    enable.dedup();
    let settings = MappingSettings {
        vars: given.collect(),
        enable,
        scope: Some(Scope::User),
        ..MappingSettings::default()
    };
    Mapping::compile(Some(preset), &settings, preset.name(), &[]).expect("a preset is valid")
}

fn inputs(mapping: &Mapping, example: &Example) -> Vec<(Value, RequestFacts)> {
    let text = example.record.as_ref().or(example.body.as_ref()).expect("an example has one");
    let document = json::read(text.as_bytes()).expect("JSON").value;
    let records = match &example.record {
        Some(_) => vec![&document],
        None => mapping.split(&document),
    };
    let request = RequestFacts::new(example.headers.clone(), example.query.clone());
    records.into_iter().map(|record| (record.clone(), request.clone())).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn section() -> Section {
    let mut section = Section::new("mapping", &["µs a record", "a core · s", "µs of noise"]);
    let row = |preset: &Preset| {
        let mapping = everything(preset);
        let records = preset.examples.iter().map(|example| inputs(&mapping, example).len());
        let records: usize = records.sum();
        let median = median_micros("mapping", &format!("examples/{}", preset.name()));
        let mean = median.map(|median| median / records as f64);
        let noise = median_micros("mapping", &format!("noise/{}", preset.name()));
        [mean, mean.map(|mean| 1e6 / mean), noise]
    };
    let rules = |preset: &&Preset| everything(preset).rules().count();
    if let Some(largest) = Preset::all().iter().max_by_key(rules) {
        section.add("the preset with most rules", row(largest));
    }
    for preset in Preset::all() {
        section.add(&format!("{}, {} rules", preset.name(), rules(&preset)), row(preset));
    }
    section
}
