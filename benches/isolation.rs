//! The cost of sick Receivers for the healthy ones: the age of SETs (from publication to arrival)
//! at 20 Receivers, first alone, then beside 30 others that never answer, answer 500 or close the
//! connection. The daemon is a process of its own; each Receiver listens on its own port.
//!
//! The result is the ratio of the two runs, which should be at most 1.2. Additional Receivers take
//! a part of the machine even if they are healthy, so a third run has the same number of healthy
//! ones.
#![allow(clippy::print_stdout, reason = "a benchmark tells what it measured")]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use ssfd::clock;
use tokio::time::interval;

use self::support::{
    block_on,
    daemon::Daemon,
    receiver::{Health, Receiver},
    usage::cpu_time,
};

const HEALTHY: usize = 20;
/// The number of sick Receivers of each kind.
const SICK: usize = 10;
/// The events per second. Each is for every stream.
const RATE: u32 = 50;
const EVENTS: u32 = 1000;

fn main() {
    // `cargo test` runs this program too, without measuring.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let alone = block_on(measure(&[]));
    let well = block_on(measure(&[(Health::Accepts, 3 * SICK)]));
    let ill = [Health::NeverAnswers, Health::Fails, Health::Closes].map(|health| (health, SICK));
    let ill = block_on(measure(&ill));
    println!("age at {HEALTHY} healthy Receivers, {RATE} events a second to each, in ms");
    println!("{:>24}{:>10}{:>10}{:>10}{:>16}", "", "p50", "p99", "max", "CPU ms / event");
    alone.print("alone");
    well.print(&format!("beside {} well ones", 3 * SICK));
    ill.print(&format!("beside {} sick ones", 3 * SICK));
    let p99 = |measured: &Measured| measured.at(0.99).as_secs_f64();
    println!("p99 beside sick ones, to alone: {:.2}", p99(&ill) / p99(&alone));
    println!("p99 beside sick ones, to beside well ones: {:.2}", p99(&ill) / p99(&well));
}

struct Measured {
    /// The ages of SETs at the healthy Receivers, in ascending order.
    ages: Vec<Duration>,
    /// The processor time of the daemon per event.
    cpu: Duration,
}

impl Measured {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "thousands of ages"
    )]
    fn at(&self, quantile: f64) -> Duration {
        self.ages[((self.ages.len() - 1) as f64 * quantile) as usize]
    }

    fn print(&self, name: &str) {
        let millis = |age: Duration| age.as_secs_f64() * 1000.0;
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|quantile| millis(self.at(quantile)));
        let cpu = millis(self.cpu);
        println!("{name:>24}{p50:>10.2}{p99:>10.2}{max:>10.2}{cpu:>16.2}");
    }
}

async fn measure(others: &[(Health, usize)]) -> Measured {
    let ages = Arc::new(Mutex::new(Vec::new()));
    let began = clock::instant();
    let daemon = Daemon::start("");
    for _ in 0..HEALTHY {
        let ages = Arc::clone(&ages);
        let receiver = Receiver::start(Health::Accepts, move |payload| {
            let published = payload["published"].as_u64().expect("as it was published");
            let age = began.elapsed().saturating_sub(Duration::from_micros(published));
            ages.lock().expect("no holder panics").push(age);
        });
        daemon.push_to(&receiver.await.endpoint).await;
    }
    for (health, count) in others {
        for _ in 0..*count {
            daemon.push_to(&Receiver::start(*health, |_| {}).await.endpoint).await;
        }
    }
    let cpu = cpu_time(daemon.pid());
    let mut pace = interval(Duration::from_secs(1) / RATE);
    for n in 0..EVENTS {
        pace.tick().await;
        let micros = u64::try_from(began.elapsed().as_micros()).expect("minutes");
        daemon.publish(&format!("u-{n}"), json!({"published": micros})).await;
    }
    let all = HEALTHY * EVENTS as usize;
    let count = || ages.lock().expect("no holder panics").len();
    while count() < all {
        pace.tick().await;
    }
    let mut ages = std::mem::take(&mut *ages.lock().expect("no holder panics"));
    ages.sort_unstable();
    let cpu = cpu_time(daemon.pid()).saturating_sub(cpu) / EVENTS;
    Measured { ages, cpu }
}
