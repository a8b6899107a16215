//! The budgets of the daemon, and whether a run met them.

use ssfd::signing::algorithm::Algorithm;

use super::{
    backlog::Backlog,
    fan_out::FanOut,
    floors::Floors,
    https::Http,
    run::{Load, Method, Plan},
    runs::{Runs, one_signer},
};
use crate::support::{
    backend::Backend,
    mib, millis,
    report::{Row, Section},
};

const PUSH: Method = Method::Push(Http::One);

/// A table of the budgets.
pub(crate) struct Budgets {
    section: Section,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Budgets {
    pub(crate) fn new() -> Self {
        let columns = ["budget", "measured", "ratio"];
        Self { section: Section::new("budgets", &columns) }
    }

    pub(crate) fn into_section(self) -> Section {
        self.section
    }

    fn add(&mut self, name: &str, bound: Bound, measured: Option<f64>) {
        let (words, budget) = match bound {
            Bound::AtMost(budget) => ("at most", budget),
            Bound::AtLeast(budget) => ("at least", budget),
        };
        // Without a measurement there is no row, because that part was not requested.
        let Some(measured) = measured else { return };
        let met = match bound {
            Bound::AtMost(budget) => measured <= budget,
            Bound::AtLeast(budget) => budget <= measured,
        };
        let values = [budget, measured, measured / budget].map(Some).to_vec();
        let verdict = Some(if met { "met" } else { "missed" }.to_owned());
        self.section.rows.push(Row { name: format!("{name}, {words}"), values, verdict });
    }

    /// Compares RS256 signatures on all signing threads with `jsonwebtoken`, which parses its key
    /// for each signature.
    pub(crate) fn of_signing(&mut self, beside_jsonwebtoken: Option<f64>) {
        let name = "jsonwebtoken::encode ÷ signer, RS256";
        self.add(name, Bound::AtLeast(3.0), beside_jsonwebtoken);
    }

    pub(crate) fn of_mapping(&mut self, micros: Option<f64>) {
        self.add("mapping a record by the largest preset, µs", Bound::AtMost(15.0), micros);
    }

    pub(crate) fn of_runs(&mut self, backend: Backend, runs: &Runs, floors: &Floors) {
        let plan = |method, algorithm, registered| Plan {
            backend,
            method,
            algorithm,
            signers: 0,
            registered,
        };
        for http in Http::ALL {
            let plan = plan(Method::Push(http), Algorithm::Es256, 1);
            let cost = runs.find(&plan, Load::Saturated);
            let ratio = cost.map(|cost| cost.cpu.div_duration_f64(floors.cpu(&plan)));
            let name = format!("{backend}: CPU per SET ÷ floors, push {}, ES256", http.name());
            self.add(&name, Bound::AtMost(1.5), ratio);
        }
        // With one signing thread per core, no core is left for the rest of the daemon and for the
        // sink.
        let all_signers = plan(PUSH, Algorithm::Rs256, 1);
        let signed = [
            (one_signer(backend), floors.signed(Algorithm::Rs256), "by one thread"),
            (all_signers, floors.signed_at_once(Algorithm::Rs256), "on all cores"),
        ];
        for (plan, signed, by) in signed {
            let run = runs.find(&plan, Load::Saturated);
            let name = format!("{backend}: SETs pushed ÷ signed {by}, RS256");
            self.add(&name, Bound::AtLeast(0.9), run.map(|one| one.per_second() / signed));
        }

        let paced = runs.find(&plan(PUSH, Algorithm::Es256, 1), Load::Rate(1_000));
        let age = |quantile| paced.map(|one| millis(one.arrivals.age(quantile)));
        let name = format!("{backend}: age at 1,000/s, ms");
        self.add(&format!("{name}, p50"), Bound::AtMost(2.0), age(0.5));
        self.add(&format!("{name}, p99"), Bound::AtMost(10.0), age(0.99));

        let [few, many] = [10, 100_000].map(|registered| plan(PUSH, Algorithm::Es256, registered));
        let [idle_few, idle_many] = [few, many].map(|plan| runs.memory_idle(&plan));
        if let (Some(few), Some(many)) = (idle_few, idle_many) {
            let each = mib(many.saturating_sub(few)) * 1024.0 / 99_990.0;
            let name = format!("{backend}: memory of an idle stream, KiB");
            self.add(&name, Bound::AtMost(2.0), Some(each));
        }
        let all = idle_many.map(mib);
        let name = format!("{backend}: memory with 100,000 idle streams, MiB");
        self.add(&name, Bound::AtMost(300.0), all);
        let [few, many] = [few, many].map(|plan| runs.find(&plan, Load::Saturated));
        let growth = few.zip(many).map(|(few, many)| many.cpu.div_duration_f64(few.cpu));
        let name = format!("{backend}: CPU per SET, 100,000 ÷ 10 streams");
        self.add(&name, Bound::AtMost(1.1), growth);
    }

    pub(crate) fn of_fan_out(&mut self, backend: Backend, fan_out: &FanOut) {
        let growth = fan_out.many.cpu.div_duration_f64(fan_out.few.cpu);
        let name = format!("{backend}: CPU per SET of one event, for 10,000 ÷ 1,000 streams");
        self.add(&name, Bound::AtMost(1.1), Some(growth));
        let [alone, beside] =
            [&fan_out.alone, &fan_out.many.other].map(|one| millis(one.age(0.99)));
        let name = format!("{backend}: p99 beside an event for 10,000 streams ÷ alone");
        self.add(&name, Bound::AtMost(1.2), Some(beside / alone));
    }

    pub(crate) fn of_backlog(&mut self, backend: Backend, backlog: &Backlog) {
        let first = backlog.first.map(|first| first.as_secs_f64());
        let name = format!("{backend}: first SET after a start with a backlog, s");
        self.add(&name, Bound::AtMost(5.0), first);
    }
}
