//! SETs of every kind as Receivers get them: events and control events, by push and by poll, under
//! each signing algorithm.

use serde_json::{Value, json};
use ssfd::{
    clock,
    domain::grant::{Holder, Scope},
};

use super::{
    KEYS,
    daemon::{Daemon, holder_at, provider},
    events::{ACCOUNT_PURGED, CREDENTIAL_CHANGE, SESSION_REVOKED, about_with},
    receiver::{Receiver, claims, header},
    receiver_client::ReceiverClient,
    streams::{by_poll, id_of, push_to},
    test_key,
};

const ASKED_FOR: [&str; 3] = [SESSION_REVOKED, CREDENTIAL_CHANGE, ACCOUNT_PURGED];

/// A daemon with a provider for each of [`KEYS`], named after its algorithm, and the SETs that it
/// delivered.
pub(crate) struct Sample {
    pub(crate) daemon: Daemon,
    pub(crate) sets: Vec<Arrived>,
}

/// A delivered SET and its stream.
pub(crate) struct Arrived {
    pub(crate) provider: &'static str,
    /// The configuration of the stream, as its Receiver reads it.
    pub(crate) stream: Value,
    pub(crate) jws: String,
    /// The seconds between which the SET was made.
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

/// Returns events with members and without, about a simple subject and a complex one. The last one
/// has members that are named like claims of a SET.
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

/// Delivers the events of a provider, and verifications with `state` and without, to a Receiver by
/// push and to another by poll.
async fn exchange(
    daemon: &Daemon,
    provider: &'static str,
    receiver: &mut Receiver,
) -> Vec<Arrived> {
    let begun = clock::now().as_secs();
    // An `aud` of one value is a string, an `aud` of two is an array.
    let (one, two) = (["https://one.example"], ["https://two.example/a", "https://two.example/b"]);
    let one = subscriber(daemon, provider, "one", &one).await;
    let two = subscriber(daemon, provider, "two", &two).await;
    let pushed = subscribe(&one, push_to(&receiver.url("/in"))).await;
    let polled = subscribe(&two, by_poll()).await;

    let publisher = Holder::Publisher { provider: provider.parse().expect("a name") };
    let events = events();
    let count = events.len() + 2;
    let answer = daemon.publish(&daemon.token(publisher).await, &events.into()).await.expect(202);
    assert_eq!(answer.json()["accepted"], count - 2, "{}", answer.text());
    let by_push = receiver.next_few(count).await.into_iter().map(|seen| seen.jws().to_owned());
    let by_push: Vec<_> = by_push.collect();
    let by_poll = two.sets(id_of(&polled)).await;
    assert_eq!(by_poll.len(), count);

    let made = (begun, clock::now().as_secs());
    let arrived = |stream: Value, sets: Vec<String>| {
        sets.into_iter().map(move |jws| Arrived { provider, stream: stream.clone(), jws, made })
    };
    arrived(pushed, by_push).chain(arrived(polled, by_poll)).collect()
}

/// Returns the client of a Receiver whose new streams get this `aud`.
async fn subscriber<'a>(
    daemon: &'a Daemon,
    provider: &'a str,
    receiver: &str,
    aud: &[&str],
) -> ReceiverClient<'a> {
    let holder = holder_at(provider, receiver, aud, &[Scope::Manage]);
    daemon.client_with(provider, &daemon.token(holder).await)
}

/// Creates a stream, asks for two verifications, and returns the stream as the daemon shows it.
async fn subscribe(client: &ReceiverClient<'_>, delivery: Value) -> Value {
    let stream = client.create(&json!({"delivery": delivery, "events_requested": ASKED_FOR})).await;
    let id = &stream["stream_id"];
    for body in [json!({"stream_id": id}), json!({"stream_id": id, "state": "n-4411"})] {
        client.send("POST", "/ssf/verify", &body).await.expect(204);
    }
    stream
}
