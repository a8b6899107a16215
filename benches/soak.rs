//! Hours at a steady rate while Receivers fail and recover. Every event must arrive at every
//! Receiver, and the memory of the daemon must not grow. `make soak` runs it; `SOAK_MINUTES` sets
//! the duration (60 by default).
#![allow(clippy::print_stdout, reason = "a benchmark tells what it measured")]

mod support;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use ssfd::clock;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::support::{
    block_on,
    daemon::Daemon,
    receiver::{Health, Receiver},
};

const RECEIVERS: usize = 10;
/// The events per second. Each is for every Receiver.
const RATE: u32 = 50;
const SUBJECTS: u64 = 1000;
/// The time between two changes of a Receiver's health.
const CHANGE_EVERY: Duration = Duration::from_secs(5);
/// The time in which caches fill. The memory is judged from then on.
const WARM_UP: Duration = Duration::from_mins(10);
/// The factor by which the memory may grow after the warm-up.
const GROWTH_MAX: f64 = 1.1;
/// The retry delays are short, so that the backlog of a sick Receiver shrinks soon after it
/// recovers.
const SETTINGS: &str = "delivery.retry.schedule = [\"1s\", \"2s\", \"5s\"]
    push.attempt_timeout = \"2s\"
    store.event_retention = \"1m\"
    store.event_id_retention = \"1m\"";

type Arrived = Arc<Mutex<HashSet<u64>>>;

fn main() {
    // `cargo test` and `cargo bench` run this program too, so a run of hours must be requested.
    let Ok(minutes) = std::env::var("SOAK_MINUTES") else { return };
    let minutes = minutes.parse().expect("SOAK_MINUTES is a number");
    block_on(soak(Duration::from_mins(minutes)));
}

async fn soak(length: Duration) {
    let daemon = Daemon::start(SETTINGS);
    let mut receivers = Vec::new();
    for _ in 0..RECEIVERS {
        let arrived = Arrived::default();
        let note = Arc::clone(&arrived);
        let receiver = Receiver::start(Health::Accepts, move |payload| {
            note.lock().expect("no holder panics").insert(payload["n"].as_u64().expect("a number"));
        });
        let receiver = receiver.await;
        daemon.push_to(&receiver.endpoint).await;
        receivers.push((receiver, arrived));
    }
    let began = Instant::now();
    let (mut pace, mut changes) = (interval(Duration::from_secs(1) / RATE), interval(CHANGE_EVERY));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut published, mut warm) = (0, None);
    while began.elapsed() < length {
        tokio::select! {
            _ = pace.tick() => {
                let subject = format!("u-{}", published % SUBJECTS);
                daemon.publish(&subject, json!({"n": published})).await;
                published += 1;
            }
            _ = changes.tick() => {
                // Half of all changes are recoveries, so that most Receivers are healthy most of
                // the time.
                let health = *pick(&Health::ALL).filter(|_| clock::dice() < 0.5)
                    .unwrap_or(&Health::Accepts);
                pick(&receivers).expect("there are some").0.set_health(health);
                if published % u64::from(60 * RATE) < u64::from(RATE) * CHANGE_EVERY.as_secs() {
                    tell(began, published, &receivers, &daemon);
                }
            }
        }
        if warm.is_none() && WARM_UP < began.elapsed() {
            warm = Some(daemon.resident());
        }
    }
    for (receiver, _) in &receivers {
        receiver.set_health(Health::Accepts);
    }
    let missing = || receivers.iter().map(|(_, arrived)| published - count(arrived)).sum::<u64>();
    let healed = Instant::now();
    while 0 < missing() {
        assert!(healed.elapsed() < Duration::from_mins(5), "{} SETs never came", missing());
        pace.tick().await;
    }
    tell(began, published, &receivers, &daemon);
    let Some(warm) = warm else { return println!("all arrived; too short to judge memory by") };
    let end = daemon.resident();
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let growth = end as f64 / warm as f64;
    println!("all arrived; memory after {WARM_UP:?} grew by the factor {growth:.2}");
    assert!(growth < GROWTH_MAX, "memory grew from {warm} to {end} bytes");
}

fn count(arrived: &Arrived) -> u64 {
    arrived.lock().expect("no holder panics").len() as u64
}

fn pick<T>(from: &[T]) -> Option<&T> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few"
    )]
    let at = (clock::dice() * from.len() as f64) as usize;
    from.get(at).or(from.last())
}

fn tell(began: Instant, published: u64, receivers: &[(Receiver, Arrived)], daemon: &Daemon) {
    let arrived: u64 = receivers.iter().map(|(_, arrived)| count(arrived)).sum();
    let due = published * receivers.len() as u64;
    let (minutes, mib) = (began.elapsed().as_secs() / 60, daemon.resident() / (1024 * 1024));
    println!("{minutes:>4} min: {published} events, {arrived} of {due} SETs arrived, {mib} MiB");
}
