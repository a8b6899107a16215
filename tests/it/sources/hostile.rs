//! Hostile and broken requests with each scheme of authentication: wrong and old signatures, bodies that
//! somebody changed, replayed requests, batches of ten thousand records, and records with bad members.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use ssfd::{clock, source::settings::SchemeName};

use super::{
    SECRET, Stand, logout,
    signing::{self, Headers, SVIX, WEBHOOK, hex, sha256, tag},
};
use crate::harness::http_client::Answer;

/// A secret that the source does not know.
const WRONG: &str = "another-secret-of-a-sender";
/// The most records of a body, and the most events of a minute, by default.
const RECORDS_MAX: usize = 10_000;
const PER_MINUTE: usize = 600;

/// A way to authenticate: the table of the source, and a sender that has nothing of ours.
struct Way {
    name: &'static str,
    auth: Value,
    /// The headers of a request, by the secret, the time in seconds and the body.
    sign: fn(&str, i64, &str) -> Headers,
    /// The label of a refusal that comes of [`WRONG`].
    wrong: &'static str,
    /// The credential is about the body.
    covers_body: bool,
    /// The label of a refusal that comes of a signature an hour old. `None` if no time is signed.
    old: Option<&'static str>,
}

impl Way {
    /// The credential is in each record.
    fn is_in_records(&self) -> bool {
        self.name == "state"
    }
}

/// Returns the ways whose body holds records. A token in the body is one record by itself.
fn ways() -> Vec<Way> {
    let secret_files = json!(["SECRET"]);
    let auth = |members: Value| {
        let mut auth = members;
        auth["secret_files"] = secret_files.clone();
        auth
    };
    let way = |name, members, sign| Way {
        name,
        auth: auth(members),
        sign,
        wrong: "wrong",
        covers_body: false,
        old: None,
    };
    let signed = |way: Way| Way { covers_body: true, ..way };
    let timed = |way: Way| Way { covers_body: true, old: Some("old"), ..way };
    let webhooks = |name, sign| Way {
        auth: json!({"scheme": "standard-webhooks", "secret_files": ["WHSEC"]}),
        ..timed(way(name, json!({}), sign))
    };
    let token = json!({"scheme": "jwt", "algorithms": ["HS256"], "body_hash_claim": "hash"});
    vec![
        way("header", json!({"scheme": "header", "header": "X-Hook"}), |secret, _, _| {
            vec![("x-hook", secret.to_owned())]
        }),
        way("bearer", json!({"scheme": "bearer"}), |secret, _, _| {
            vec![("authorization", format!("Bearer {secret}"))]
        }),
        way("basic", json!({"scheme": "basic", "user": "hook"}), |secret, _, _| {
            vec![("authorization", signing::basic("hook", secret))]
        }),
        signed(way("hmac", json!({"scheme": "hmac", "header": "X-Sig"}), |secret, _, body| {
            vec![("x-sig", hex(&tag(secret.as_bytes(), &[body.as_bytes()])))]
        })),
        timed(way(
            "timed",
            json!({"scheme": "hmac", "header": "X-Sig", "timestamp": "s"}),
            |secret, secs, body| vec![("x-sig", signing::timed(secret, secs, body))],
        )),
        timed(way(
            "timed-ms",
            json!({"scheme": "hmac", "header": "X-Sig", "timestamp": "ms"}),
            |secret, secs, body| vec![("x-sig", signing::timed(secret, secs * 1000, body))],
        )),
        webhooks("webhooks", |secret, secs, body| {
            signing::webhook(WEBHOOK, secret.as_bytes(), ("msg_1", secs), body)
        }),
        webhooks("svix", |secret, secs, body| {
            signing::webhook(SVIX, secret.as_bytes(), ("msg_1", secs), body)
        }),
        Way {
            covers_body: true,
            old: Some("expired"),
            ..way("jwt", token, |secret, secs, body| {
                let hash = hex(&sha256(body.as_bytes()));
                let claims = json!({"iat": secs, "exp": secs + 60, "hash": hash});
                vec![("authorization", format!("Bearer {}", signing::jwt(secret, &claims)))]
            })
        },
        // The record has the secret.
        way("state", json!({"scheme": "client-state"}), |_, _, _| Vec::new()),
        way(
            "state-header",
            json!({"scheme": "client-state", "header": "X-State"}),
            |secret, _, _| vec![("x-state", secret.to_owned())],
        ),
        Way {
            auth: json!({
                "scheme": "certificate", "header": "X-Client",
                "fingerprints": [hex(&sha256(SECRET.as_bytes()))],
            }),
            ..way("certificate", json!({}), |secret, _, _| {
                vec![("x-client", hex(&sha256(secret.as_bytes())))]
            })
        },
    ]
}

#[test]
fn each_scheme_has_a_way() {
    let tried: BTreeSet<_> =
        ways().iter().map(|way| way.auth["scheme"].as_str().expect("a name").to_owned()).collect();
    let all = [
        SchemeName::Header,
        SchemeName::Bearer,
        SchemeName::Basic,
        SchemeName::Hmac,
        SchemeName::StandardWebhooks,
        SchemeName::Jwt,
        SchemeName::ClientState,
        SchemeName::Certificate,
    ];
    let name = |scheme: SchemeName| match scheme {
        SchemeName::Header => "header",
        SchemeName::Bearer => "bearer",
        SchemeName::Basic => "basic",
        SchemeName::Hmac => "hmac",
        SchemeName::StandardWebhooks => "standard-webhooks",
        SchemeName::Jwt => "jwt",
        SchemeName::ClientState => "client-state",
        SchemeName::Certificate => "certificate",
        SchemeName::None => unreachable!("it has no credential that can be forged"),
    };
    assert_eq!(tried, all.map(|scheme| name(scheme).to_owned()).into());
}

/// A daemon with a source that authenticates in this way.
async fn stand(test: &str, way: &Way, members: Value) -> Stand {
    let mut members = members;
    members["auth"] = way.auth.clone();
    let provider = format!("{test}-{}", way.name);
    Stand::with(&provider, members, |config| {
        config.sources.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        // All refusals are of one address.
        config.public.rates.refused_per_second_max = 0;
    })
    .await
}

/// Returns records that have the secret, as the senders of one scheme do it.
fn records(secret: &str, ids: impl Iterator<Item = usize>) -> String {
    let record = |id: usize| {
        let mut record = logout(&id.to_string(), &format!("u-{id}"));
        record["clientState"] = secret.into();
        record
    };
    Value::Array(ids.map(record).collect()).to_string()
}

async fn send(stand: &Stand, headers: &Headers, body: &str) -> Answer {
    let mut call = stand.call().header("content-type", "application/json");
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call.body(body.to_owned()).send().await
}

/// Signs a body now and sends it.
async fn send_signed(stand: &Stand, way: &Way, body: &str) -> Answer {
    send(stand, &(way.sign)(SECRET, clock::now().as_secs(), body), body).await
}

#[actix_web::test]
async fn a_forged_or_old_or_changed_request_is_refused_without_a_word() {
    for way in ways() {
        let stand = stand("forged", &way, json!({})).await;
        let now = clock::now().as_secs();
        let body = records(SECRET, 0..2);
        let forged = records(WRONG, 0..2);
        let mut cases = vec![
            (way.wrong, (way.sign)(WRONG, now, &forged), &forged),
            ("missing", Vec::new(), &body),
        ];
        if way.is_in_records() {
            // Without a header, there is nothing else that could be missing.
            cases.pop();
        }
        let other = records(SECRET, 5..6);
        if way.covers_body {
            let reason = if way.name == "jwt" { "body" } else { "wrong" };
            cases.push((reason, (way.sign)(SECRET, now, &body), &other));
        }
        if let Some(reason) = way.old {
            cases.push((reason, (way.sign)(SECRET, now - 3600, &body), &body));
        }
        for (reason, headers, body) in cases {
            let before = stand.refusals(reason).await;
            let answer = send(&stand, &headers, body).await.expect(401);
            assert!(answer.body.is_empty(), "{}: {}", way.name, answer.text());
            assert_eq!(stand.refusals(reason).await, before + 1, "{}: {reason}", way.name);
        }
        assert!(stand.users().await.is_empty(), "{}", way.name);
        send_signed(&stand, &way, &body).await.expect(200);
        assert_eq!(stand.users().await, ["u-0", "u-1"], "{}", way.name);
    }
}

/// A stranger who recorded a request can send it again, and nothing comes of it.
#[actix_web::test]
async fn a_replayed_request_gives_no_second_set() {
    for way in ways() {
        let mut stand = stand("replayed", &way, json!({})).await;
        let body = records(SECRET, 0..3);
        let headers = (way.sign)(SECRET, clock::now().as_secs(), &body);
        send(&stand, &headers, &body).await.expect(200);
        send(&stand, &headers, &body).await.expect(200);
        stand.setup.daemon.restart().await;
        send(&stand, &headers, &body).await.expect(200);
        assert_eq!(stand.users().await, ["u-0", "u-1", "u-2"], "{}", way.name);
        let counts = [stand.records("accepted").await, stand.records("duplicate").await];
        assert_eq!(counts, [3, 6], "{}", way.name);
    }
}

/// A batch beyond the bound is refused as a whole, before a record of it is mapped.
#[actix_web::test]
async fn a_batch_of_more_than_ten_thousand_records_is_refused_and_gives_nothing() {
    for way in ways() {
        let stand = stand("batch", &way, json!({"body_bytes_max": 2_000_000})).await;
        let batch = records(SECRET, 0..=RECORDS_MAX);
        send_signed(&stand, &way, &batch).await.expect(400);
        send(&stand, &(way.sign)(WRONG, clock::now().as_secs(), &batch), &batch)
            .await
            .expect(if way.is_in_records() { 400 } else { 401 });
        assert!(stand.users().await.is_empty(), "{}", way.name);
    }
}

/// Of the largest batch that is taken, as many events go out as the source may emit in a minute. Nothing is
/// taken of the next one, because the source holds as many events as it may.
#[actix_web::test]
async fn a_batch_of_ten_thousand_records_signs_out_only_some() {
    for way in ways().into_iter().filter(|way| ["hmac", "state"].contains(&way.name)) {
        let members = json!({
            "answer_body": "counts", "answer_timeout": "50s", "body_bytes_max": 2_000_000,
        });
        let stand = stand("largest", &way, members).await;
        let answer = send_signed(&stand, &way, &records(SECRET, 0..RECORDS_MAX)).await;
        let answer = answer.expect(200).json();
        let counts = [&answer["accepted"], &answer["held"]];
        assert_eq!(counts, [PER_MINUTE, RECORDS_MAX - PER_MINUTE], "{}: {answer}", way.name);
        assert_eq!(stand.users().await.len(), PER_MINUTE, "{}", way.name);
        let next = records(SECRET, RECORDS_MAX..2 * RECORDS_MAX);
        let answer = send_signed(&stand, &way, &next).await.expect(503);
        assert_eq!(answer.headers["retry-after"], "20", "{}", way.name);
    }
}

#[actix_web::test]
async fn a_body_above_the_bound_is_refused_before_its_credential_is_judged() {
    for way in ways() {
        let stand = stand("large", &way, json!({"body_bytes_max": 1000})).await;
        let body = records(SECRET, 0..20);
        assert!(1000 < body.len());
        send_signed(&stand, &way, &body).await.expect(413);
        send(&stand, &Vec::new(), &body).await.expect(413);
        assert!(stand.users().await.is_empty(), "{}", way.name);
    }
}

/// Records with bad members.
struct BadRecords {
    /// The rule needs a member that has no such value. None of them gives an event.
    values: Vec<String>,
    /// The time is none, so that of the receipt is taken.
    times: Vec<String>,
    /// No good JSON.
    broken: Vec<String>,
}

fn bad_records() -> BadRecords {
    let with = |id: &str, member: &str, value: Value| {
        let mut record = logout(id, "kim");
        record["clientState"] = SECRET.into();
        record[member] = value;
        record.to_string()
    };
    let mut values = Vec::new();
    let wrong =
        [json!(null), json!({}), json!([]), json!({"a": {"b": 1}}), json!([["x"]]), json!("")];
    for (n, value) in wrong.into_iter().enumerate() {
        for member in ["user", "session"] {
            values.push(with(&format!("bad-{member}-{n}"), member, value.clone()));
        }
    }
    let times = [json!("soon"), json!({}), json!([1])].into_iter().enumerate();
    let times = times.map(|(n, time)| with(&format!("bad-time-{n}"), "time", time)).collect();
    let deep = format!("{}{}", "[".repeat(80), "]".repeat(80));
    let broken = vec![
        format!(r#"{{"type": "LOGOUT", "type": "LOGOUT", "id": "x", "clientState": "{SECRET}"}}"#),
        format!(r#"{{"type": "LOGOUT", "id": "y", "clientState": "{SECRET}", "deep": {deep}}}"#),
    ];
    BadRecords { values, times, broken }
}

#[actix_web::test]
async fn bad_members_reject_their_record_alone() {
    let BadRecords { values, times, broken } = bad_records();
    for way in ways() {
        let stand = stand("members", &way, json!({"answer_body": "counts"})).await;
        let good = |id: usize| records(SECRET, id..=id).trim_matches(['[', ']']).to_owned();
        let body = format!("[{},{},{}]", values.join(","), times.join(","), good(0));
        let answer = send_signed(&stand, &way, &body).await.expect(200).json();
        let counts = [&answer["accepted"], &answer["rejected"]];
        assert_eq!(counts, [times.len() + 1, values.len()], "{}: {answer}", way.name);
        // A record that cannot be read shows no state, so it refuses a request whose records must show it.
        let body = format!("[{},{}]", broken.join(","), good(1));
        let answer = send_signed(&stand, &way, &body).await;
        if way.is_in_records() {
            answer.expect(401);
        } else {
            assert_eq!(answer.expect(200).json()["rejected"], broken.len(), "{}", way.name);
        }
        // A body that is no JSON has no record at all.
        send_signed(&stand, &way, "{\"type\": ").await.expect(400);
        let users = stand.users().await;
        assert_eq!(users.contains(&"u-1".to_owned()), !way.is_in_records(), "{}", way.name);
        assert!(users.contains(&"u-0".to_owned()), "{}", way.name);
    }
}
