//! Answers that do not count: each is refused with a counted reason, looks like the others, and changes
//! nothing.

use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512, Key};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::Method;
use serde_json::{Value, json};
use ssfd::{
    clock,
    config::Config,
    domain::{secret::Secret, time::Timestamp},
};

use super::{AGENTS, AUDIENCE, BAD, Fleet, GOOD, TestDevice, assert_refused, table};
use crate::harness::{daemon::provider, http_client::post};

fn signed(header: &Value, claims: &Value, algorithm: hmac::Algorithm, token: &str) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let tag = hmac::sign(&Key::new(algorithm, token.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn hs512(claims: &Value, token: &str) -> String {
    signed(&json!({"alg": "HS512"}), claims, HMAC_SHA512, token)
}

/// Adds a second table and a second provider, so that there are challenges of others.
fn with_others(config: &mut Config) {
    let first = config.providers.values_mut().next().expect("a provider");
    first.agents.insert("phones".parse().expect("a name"), table(json!({"audience": AUDIENCE})));
    let mut other = provider("https://tx.example/t/other");
    other.agents.insert(AGENTS.parse().expect("a name"), table(json!({"audience": AUDIENCE})));
    config.providers.insert("zz-other".parse().expect("a name"), other);
}

/// Asks for a challenge at a path.
async fn challenge_at(fleet: &Fleet, path: &str, device: &str) -> String {
    let url = format!("http://{}/in/{path}/challenge", fleet.node().sources_address());
    let answer = post(&url).json(&json!({"device": device})).send().await.expect(200).json();
    answer["challenge"].as_str().expect("a challenge").to_owned()
}

/// Sends an answer, without the hash of a token unless one is given.
async fn send(fleet: &Fleet, answer: &str, facts: &str, hash: Option<&str>) -> (u16, String) {
    let body = format!(r#"{{"answer":{},"facts":{facts}}}"#, json!(answer));
    let url = format!("{}/check-in", fleet.url(0));
    let call = post(&url).header("content-type", "application/json").body(body);
    let call = hash.into_iter().fold(call, |call, hash| call.header("ssfd-token-sha256", hash));
    let answer = call.send().await;
    (answer.status.as_u16(), answer.text())
}

/// The fleet with a device under attack.
struct Target {
    fleet: Fleet,
    device: TestDevice,
}

impl Target {
    async fn new(provider: &str) -> Self {
        // No lock comes in between.
        let fleet = Fleet::with(provider, json!({"failures_max": 1000}), with_others).await;
        let device = fleet.add("dev-1", json!({})).await;
        device.is(0, GOOD, "compliant").await;
        Self { fleet, device }
    }

    async fn challenge(&self) -> String {
        self.device.clients[0].challenge().await.expect("a challenge")
    }

    /// Asserts that an answer is refused for this reason and for no other, in the same words as any, and
    /// that nothing has changed.
    async fn refuses(&self, reason: &str, answer: &str, hash: Option<&str>) {
        let before = (self.fleet.stored("dev-1").await, self.fleet.refused(reason).await);
        let (status, body) = send(&self.fleet, answer, BAD, hash).await;
        assert_eq!(status, 401, "{reason}: {body}");
        let expected = json!({
            "title": "Unauthorized", "status": 401, "detail": "the answer is refused",
        });
        assert_eq!(serde_json::from_str::<Value>(&body).expect("JSON"), expected, "{reason}");
        let after = (self.fleet.stored("dev-1").await, self.fleet.refused(reason).await);
        assert_eq!(after.0, before.0, "{reason}");
        assert_eq!(after.1, before.1 + 1, "{reason} is not counted");
        assert_eq!(self.fleet.changes().await, [], "{reason}");
    }
}

#[actix_web::test]
async fn forged_answers_are_refused() {
    let target = Target::new("agents-refused-forged").await;
    let token = &target.device.token;
    let claims = json!({"iss": "dev-1", "aud": AUDIENCE, "atc": target.challenge().await});
    for (alg, algorithm) in [
        ("HS256", HMAC_SHA256),
        ("HS384", HMAC_SHA384),
        ("none", HMAC_SHA512),
        ("ES256", HMAC_SHA512),
    ] {
        let answer = signed(&json!({"alg": alg}), &claims, algorithm, token);
        target.refuses("algorithm", &answer, None).await;
    }
    let none = json!({"alg": "none"});
    let unsigned = signed(&none, &claims, HMAC_SHA512, token);
    let (unsigned, _) = unsigned.rsplit_once('.').expect("a signature");
    target.refuses("algorithm", &format!("{unsigned}."), None).await;

    target.refuses("signature", &hs512(&claims, "another-token-of-enough-bytes"), None).await;
    target.refuses("signature", &hs512(&claims, &token[..token.len() - 1]), None).await;
    // The published key of the provider is no secret that anybody may sign with.
    let jwks = target.fleet.node().provider_url(target.fleet.node().provider(), "/jwks.json");
    let jwks = crate::harness::http_client::get(&jwks).send().await.expect(200).text();
    target.refuses("signature", &hs512(&claims, &jwks), None).await;
    let good = hs512(&claims, token);
    let (signed, _) = good.rsplit_once('.').expect("a signature");
    target.refuses("signature", &format!("{signed}."), None).await;

    for text in ["", "a.b.c", &good[1..], &format!("{good}.x")] {
        target.refuses("malformed", text, None).await;
    }
    for missing in ["iss", "aud", "atc"] {
        let mut cut = claims.clone();
        cut.as_object_mut().expect("an object").remove(missing);
        target.refuses("malformed", &hs512(&cut, token), None).await;
    }
}

#[actix_web::test]
async fn answers_of_others_are_refused() {
    let target = Target::new("agents-refused-foreign").await;
    let (fleet, token) = (&target.fleet, &target.device.token);
    let other = fleet.add("dev-2", json!({})).await;
    let hash = |token: &str| ssfd::auth::hash(&Secret::new(token)).as_str().to_owned();
    let challenge = target.challenge().await;
    let claims = |device: &str| json!({"iss": device, "aud": AUDIENCE, "atc": challenge});

    // Another device's token, with and without its hash.
    target.refuses("signature", &hs512(&claims("dev-1"), &other.token), None).await;
    let theirs = hash(&other.token);
    target.refuses("foreign_token", &hs512(&claims("dev-1"), &other.token), Some(&theirs)).await;
    target.refuses("unknown_device", &hs512(&claims("nobody"), token), None).await;
    target.refuses("foreign_token", &hs512(&claims("nobody"), token), Some(&hash(token))).await;
    for unknown in [hash("no token"), "nonsense".to_owned(), String::new()] {
        target.refuses("unknown_device", &hs512(&claims("dev-1"), token), Some(&unknown)).await;
    }

    // Another audience, and the challenges of others.
    let mut elsewhere = claims("dev-1");
    elsewhere["aud"] = "https://tx.example/t/acme/agents/phones".into();
    target.refuses("audience", &hs512(&elsewhere, token), None).await;
    let ours = fleet.node().provider().to_owned();
    let answer =
        |challenge: &str| hs512(&json!({"iss": "dev-1", "aud": AUDIENCE, "atc": challenge}), token);
    for (path, device) in [
        (format!("zz-other/{AGENTS}"), "dev-1"),
        (format!("{ours}/phones"), "dev-1"),
        (format!("{ours}/{AGENTS}"), "dev-2"),
    ] {
        let foreign = challenge_at(fleet, &path, device).await;
        target.refuses("foreign_challenge", &answer(&foreign), None).await;
    }

    // A challenge that is cut, changed, signed by the device itself, or no challenge.
    let (signed, signature) = challenge.rsplit_once('.').expect("a signature");
    let (header, _) = signed.split_once('.').expect("claims");
    let mine =
        URL_SAFE_NO_PAD.encode(json!({"atc": "x", "iss": "https://tx.example/t/acme"}).to_string());
    for bad in [
        &challenge[..challenge.len() - 1],
        &challenge[1..],
        signed,
        &format!("{header}.{mine}.{signature}"),
        &hs512(&json!({"atc": "x"}), token),
        "x",
        "",
    ] {
        target.refuses("challenge", &answer(bad), None).await;
    }
    // A SET of the same key is no challenge.
    let device = fleet.add("dev-3", json!({})).await;
    device.is(0, BAD, "not-compliant").await;
    let client = fleet.node().client_with(&ours, &fleet.receiver);
    let sets = client.sets(&fleet.stream).await;
    target.refuses("challenge", &answer(&sets[0]), None).await;
}

#[actix_web::test]
async fn replayed_and_revoked_answers_are_refused() {
    let target = Target::new("agents-refused-replayed").await;
    let client = &target.device.clients[0];
    let answer = client.answer(&target.challenge().await, BAD, clock::now());
    client.send(&answer, BAD).await.expect("it counts once");
    assert_eq!(target.fleet.changes().await.len(), 1);
    target.refuses("replayed", &answer, None).await;

    let fresh = client.answer(&target.challenge().await, GOOD, clock::now());
    target.refuses("facts", &fresh, None).await;
    client.send(&fresh, GOOD).await.expect("it is for these facts");
    target.fleet.changes().await;

    target.fleet.operate(Method::POST, "dev-1", "/revoke").await;
    let revoked = client.answer(&target.challenge().await, BAD, clock::now());
    target.refuses("revoked", &revoked, None).await;
}

#[actix_web::test]
async fn an_old_challenge_is_refused() {
    let fleet = Fleet::new("agents-refused-old", json!({"challenge_lifetime": "1s"})).await;
    let device = fleet.add("dev-1", json!({})).await;
    let challenge = device.clients[0].challenge().await.expect("a challenge");
    let answer = device.clients[0].answer(&challenge, GOOD, clock::now());
    let made = clock::now();
    crate::harness::eventually("the challenge has expired", async || {
        super::later(made, std::time::Duration::from_secs(2))
    })
    .await;
    assert_refused(device.clients[0].send(&answer, GOOD).await);
    assert_eq!(fleet.refused("old_challenge").await, 1);
    assert_eq!(fleet.stored("dev-1").await.standing.last_check_in, None);
}

/// A device whose clock is off is told so, its operator sees it, and it is not taken for an attack.
#[actix_web::test]
async fn a_clock_that_is_off_is_told_and_locks_nothing() {
    const OFF: i64 = 600;
    let fleet = Fleet::new("agents-refused-clock", json!({"failures_max": 2})).await;
    let device = fleet.add("dev-1", json!({})).await;
    for (off, side) in [(-OFF, "behind"), (OFF, "ahead")] {
        for _ in 0..5 {
            let wrong = Timestamp::from_millis(clock::now().as_millis() + off * 1000);
            let detail = assert_refused(device.clients[0].check_in(GOOD, wrong).await);
            assert!(detail.contains("the clock of the device is off by"), "{detail}");
        }
        let shown = fleet.shown("dev-1").await;
        let secs = shown["clock_off"]["secs"].as_i64().expect("a number");
        assert!((off - 5..=off + 5).contains(&secs), "{secs}");
        let said = fleet.node().ssfd_says(&["devices", "show", AGENTS, "dev-1"]).await;
        assert!(said.contains(side), "{said}");
    }
    assert_eq!(fleet.refused("clock").await, 10);
    assert_eq!(fleet.refused("locked").await, 0);
    device.is(0, GOOD, "compliant").await;
    assert_eq!(fleet.shown("dev-1").await.get("clock_off"), None, "it is right again");
}

/// Guesses lock a device for the address that they come from, for a while.
#[actix_web::test]
async fn guesses_lock_a_device_for_a_while() {
    let members = json!({"failures_max": 3, "lock_for": "2s"});
    let fleet = Fleet::new("agents-refused-locked", members).await;
    let device = fleet.add("dev-1", json!({})).await;
    let other = fleet.add("dev-2", json!({})).await;
    let guess = fleet.device("dev-1", "a-token-that-somebody-has-made-up-for-this");
    let challenge = guess.clients[0].challenge().await.expect("a challenge");
    let answer = guess.clients[0].answer(&challenge, GOOD, clock::now());
    for _ in 0..3 {
        // The hash would name another token, so it is left out.
        assert_eq!(send(&fleet, &answer, GOOD, None).await.0, 401);
    }
    assert_eq!(fleet.refused("signature").await, 3);
    assert_refused(device.check_in(GOOD).await);
    assert_eq!(fleet.refused("locked").await, 1);
    other.is(0, GOOD, "compliant").await;
    crate::harness::eventually("the lock ends by itself", async || {
        device.check_in(GOOD).await.is_ok()
    })
    .await;
}

/// A challenge says the same of a device that exists and of one that does not.
#[actix_web::test]
async fn unknown_devices_are_answered_alike() {
    let fleet = Fleet::new("agents-refused-unknown", json!({})).await;
    let device = fleet.add("dev-1", json!({})).await;
    let mut shapes = Vec::new();
    for id in ["dev-1", "dev-9"] {
        let url = format!("{}/challenge", fleet.url(0));
        let answer = post(&url).json(&json!({"device": id})).send().await.expect(200);
        let challenge = answer.json()["challenge"].as_str().expect("a challenge").to_owned();
        let claims = crate::harness::receiver::claims(&challenge);
        let names: Vec<_> = claims.as_object().expect("claims").keys().cloned().collect();
        assert_eq!(claims["exp"].as_i64(), claims["iat"].as_i64().map(|iat| iat + 300));
        let header = challenge.split('.').next().expect("a header");
        let header = URL_SAFE_NO_PAD.decode(header).expect("base64url");
        let header: Value = serde_json::from_slice(&header).expect("JSON");
        assert_eq!(header["typ"], "ssfd-challenge+jwt");
        shapes.push((names, header, challenge.len()));
    }
    assert_eq!(shapes[0], shapes[1]);
    let stranger = fleet.device("dev-9", &device.token);
    let unknown = assert_refused(stranger.check_in(GOOD).await);
    let wrong = fleet.device("dev-1", "a-token-that-somebody-has-made-up-for-this");
    assert_eq!(unknown, assert_refused(wrong.check_in(GOOD).await));
}

/// Bad input of a device that has proved itself gets a clear error, and uses up nothing.
#[actix_web::test]
async fn bad_input_is_named() {
    let fleet = Fleet::new("agents-refused-input", json!({"facts_bytes_max": 200})).await;
    let device = fleet.add("dev-1", json!({})).await;
    let client = &device.clients[0];
    let challenge = client.challenge().await.expect("a challenge");
    let url = |path: &str| format!("{}/{path}", fleet.url(0));
    let check_in = |body: String| {
        let call = post(&url("check-in")).header("content-type", "application/json");
        async move { call.body(body).send().await }
    };
    let with = |facts: &str| {
        let answer =
            client.sign(&json!({"iss": "dev-1", "aud": AUDIENCE, "atc": challenge}).to_string());
        format!(r#"{{"answer":{},"facts":{facts}}}"#, json!(answer))
    };
    let large = format!(r#""{}""#, "x".repeat(300));
    let deep = "[".repeat(60) + &"]".repeat(60);
    for (body, status, detail) in [
        ("{".to_owned(), 400, "must be a JSON object"),
        ("[]".to_owned(), 400, "must be a JSON object"),
        (r#"{"answer":"x"}"#.to_owned(), 400, "missing field `facts`"),
        (r#"{"facts":{}}"#.to_owned(), 400, "missing field `answer`"),
        (r#"{"answer":7,"facts":{}}"#.to_owned(), 400, "invalid type"),
        (r#"{"answer":"x","answer":"y","facts":{}}"#.to_owned(), 400, "duplicate field"),
        (with(r#"{"a":1,"a":2}"#), 400, "`facts` must not have the member `a` twice"),
        (with(&deep), 400, "`facts` must not be nested"),
        (with(&large), 413, "larger than 200 bytes"),
        (format!(r#"{{"x":"{}"}}"#, "x".repeat(30_000)), 413, "larger than"),
    ] {
        let answer = check_in(body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
        assert!(answer.text().contains(detail), "{detail}: {}", answer.text());
    }
    for (body, detail) in [
        (json!({}), "`device` is required"),
        (json!({"device": "a b"}), "`device` a device id must be"),
        (json!({"device": 7}), "`device` must be a string"),
    ] {
        let answer = post(&url("challenge")).json(&body).send().await.expect(400);
        assert!(answer.text().contains(detail), "{}", answer.text());
    }
    for path in ["challenge", "check-in", "enrol"] {
        crate::harness::http_client::get(&url(path)).send().await.expect(405);
        let elsewhere = url(path).replace(AGENTS, "nobody");
        post(&elsewhere).json(&json!({})).send().await.expect(404);
    }
    assert_eq!(check_in(with(GOOD)).await.status, 200, "the challenge is still good");
}
