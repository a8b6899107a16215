//! SETs of every kind, as Receivers get them: of events and of the stream itself, by push and by
//! poll, under each algorithm.

use serde_json::{Value, json};
use ssfd::{
    clock,
    domain::{
        audience::Audience,
        grant::{Holder, Scope},
    },
};

use super::{
    KEYS,
    daemon::{Daemon, provider},
    events::about_with,
    receiver::{Receiver, claims, header},
    streams::{by_poll, push_to},
    test_key,
};

const ASKED_FOR: [&str; 3] = [
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
    "https://schemas.openid.net/secevent/caep/event-type/credential-change",
    "https://schemas.openid.net/secevent/risc/event-type/account-purged",
];

/// A daemon with a provider for each of [`KEYS`], named after its algorithm, and what it sent.
pub(crate) struct Sample {
    pub(crate) daemon: Daemon,
    pub(crate) sets: Vec<Arrived>,
}

/// One SET and the stream that it came on.
pub(crate) struct Arrived {
    pub(crate) provider: &'static str,
    /// As its Receiver reads it.
    pub(crate) stream: Value,
    pub(crate) jws: String,
    /// Seconds in which it was made: from and to.
    pub(crate) made: (i64, i64),
}

impl Arrived {
    pub(crate) fn header(&self) -> Value {
        header(&self.jws)
    }

    pub(crate) fn claims(&self) -> Value {
        claims(&self.jws)
    }
}

/// With members and without, about a simple subject and a complex one; the last tries to make
/// claims of its own.
fn events() -> Vec<Value> {
    let reason = json!({"en": "rule 12"});
    let forged = json!({"sub": "u-1", "exp": 2_000_000_000, "nbf": 1, "toe": 1, "nonce": "n"});
    let changed = json!({
        "type": "caep:credential-change",
        "sub_id": {"format": "complex",
            "user": {"format": "email", "email": "kim@example.com"},
            "device": {"format": "opaque", "id": "d-7"}},
        "event": {"credential_type": "pin", "change_type": "update", "reason_admin": reason},
    });
    let mut revoked = about_with("s-1", forged.clone());
    revoked["event"] = json!({"reason_admin": reason, "x_ours": forged});
    vec![
        json!({"type": "risc:account-purged", "sub_id": {"format": "opaque", "id": "s-2"}}),
        about_with("s-3", json!({"type": "risc:account-purged", "event": {}})),
        changed,
        revoked,
    ]
}

impl Sample {
    pub(crate) async fn take() -> Self {
        let mut receiver = Receiver::accepting().await;
        let daemon = Daemon::with(|config| {
            config.providers.clear();
            for (algorithm, file) in KEYS {
                let mut settings = provider(&format!("https://tx.example/t/{algorithm}"));
                settings.signing_keys = vec![test_key(file)];
                settings.interop = algorithm == "RS256";
                config.providers.insert(algorithm.parse().expect("a name"), settings);
            }
        })
        .await;
        let mut sets = Vec::new();
        for (provider, _) in KEYS {
            sets.extend(exchange(&daemon, provider, &mut receiver).await);
        }
        Self { daemon, sets }
    }
}

/// Has a provider's events, and verifications with `state` and without, pushed to one Receiver and
/// polled by another.
async fn exchange(
    daemon: &Daemon,
    provider: &'static str,
    receiver: &mut Receiver,
) -> Vec<Arrived> {
    let begun = clock::now().as_secs();
    // One `aud` is a string, two are an array.
    let (one, two) = (["https://one.example"], ["https://two.example/a", "https://two.example/b"]);
    let to_push = push_to(&receiver.url("/in"));
    let (_, pushed) = subscribe(daemon, provider, "one", &one, to_push).await;
    let (token, polled) = subscribe(daemon, provider, "two", &two, by_poll()).await;

    let publisher = Holder::Publisher { provider: provider.parse().expect("a name") };
    let events = events();
    let count = events.len() + 2;
    let answer = daemon.publish(&daemon.token(publisher).await, &events.into()).await.expect(202);
    assert_eq!(answer.json()["accepted"], count - 2, "{}", answer.text());
    let by_push = receiver.next_few(count).await.into_iter().map(|seen| seen.jws().to_owned());
    let by_push: Vec<_> = by_push.collect();
    let id = polled["stream_id"].as_str().expect("a stream has an id");
    let by_poll = daemon.poll_few_at(provider, &token, id, count).await;

    let made = (begun, clock::now().as_secs());
    let arrived = |stream: Value, sets: Vec<String>| {
        sets.into_iter().map(move |jws| Arrived { provider, stream: stream.clone(), jws, made })
    };
    arrived(pushed, by_push).chain(arrived(polled, by_poll)).collect()
}

/// A stream of a Receiver of its own, which is verified twice; returns its token, too.
async fn subscribe(
    daemon: &Daemon,
    provider: &str,
    receiver: &str,
    audience: &[&str],
    delivery: Value,
) -> (String, Value) {
    let audience = audience.iter().copied().map(str::to_owned).collect();
    let holder = Holder::Receiver {
        provider: provider.parse().expect("a name"),
        receiver: receiver.parse().expect("an id"),
        audience: Audience::from_values(audience).expect("not empty"),
        scopes: vec![Scope::Manage],
    };
    let token = daemon.token(holder).await;
    let members = json!({"delivery": delivery, "events_requested": ASKED_FOR});
    let stream = daemon.new_stream_at(provider, &token, &members).await;
    let id = &stream["stream_id"];
    for body in [json!({"stream_id": id}), json!({"stream_id": id, "state": "n-4411"})] {
        daemon.post_at(provider, &token, "/ssf/verify", &body).await.expect(204);
    }
    (token, stream)
}
