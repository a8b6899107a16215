//! `ssfd import authentik`: exports of authentik's API become streams that deliver.

mod proxied;

use std::{
    fs,
    path::{Path, PathBuf},
};

use hyper::Method;
use serde_json::{Value, json};
use ssfd::domain::grant::Holder;
use tempfile::TempDir;

use crate::harness::{
    daemon::{Daemon, provider},
    events::{CREDENTIAL_CHANGE, SESSION_REVOKED, VERIFICATION, about},
    eventually,
    receiver::Receiver,
};

/// The SSF providers of the export: their `pk`, their names, and the slugs of their applications.
const SSF_PROVIDERS: [(i64, &str, &str); 2] = [(7, "Apple Business", "apple"), (8, "Wiki", "wiki")];

const PUSH: &str = "https://schemas.openid.net/secevent/risc/delivery-method/push";
const POLL: &str = "https://schemas.openid.net/secevent/risc/delivery-method/poll";

/// The ids of the streams of the export.
const ENABLED: &str = "11111111-8f5b-4a63-9d0e-5d1d4b6c0a11";
const PAUSED: &str = "22222222-8f5b-4a63-9d0e-5d1d4b6c0a11";
const DISABLED: &str = "33333333-8f5b-4a63-9d0e-5d1d4b6c0a11";
const POLLED: &str = "44444444-8f5b-4a63-9d0e-5d1d4b6c0a11";
const DELETED: &str = "55555555-8f5b-4a63-9d0e-5d1d4b6c0a11";
const STREAMS: [&str; 5] = [ENABLED, PAUSED, DISABLED, POLLED, DELETED];

fn issuer(slug: &str) -> String {
    format!("https://auth.example/.well-known/ssf-configuration/{slug}")
}

/// An SSF provider as the API tells it, without its secrets, which the API does not tell.
fn ssf_provider((pk, name, slug): (i64, &str, &str)) -> Value {
    json!({
        "pk": pk, "name": name, "component": "ak-provider-ssf-form",
        "verbose_name": "Shared Signals Framework Provider",
        "verbose_name_plural": "Shared Signals Framework Providers",
        "meta_model_name": "authentik_providers_ssf.ssfprovider",
        "signing_key": "0b9d0d0e-5c6f-4a60-8b1d-000000000007",
        "token_obj": {"pk": "0b9d0d0e-5c6f-4a60-8b1d-0000000000aa", "identifier": "ak-providers-ssf-7",
            "intent": "api", "user": 12, "managed": null, "expires": null},
        "oidc_auth_providers": [3], "oidc_auth_providers_obj": [{"pk": 3, "name": "OIDC for Apple"}],
        "ssf_url": issuer(slug), "event_retention": "days=30", "push_verify_certificates": slug != "wiki",
    })
}

fn list(results: &[Value]) -> Value {
    json!({
        "pagination": {"next": 0, "previous": 0, "count": results.len(), "current": 1, "total_pages": 1,
            "start_index": 1, "end_index": results.len()},
        "results": results, "autocomplete": {},
    })
}

/// An export with a stream of each kind.
struct Export {
    folder: TempDir,
    streams: Vec<Value>,
}

impl Export {
    fn new(endpoint: &str) -> Self {
        let stream = |id: &str, of: usize, status: &str, method: &str, more: Value| {
            let (pk, _, slug) = SSF_PROVIDERS[of];
            let url = (method != POLL).then(|| format!("{endpoint}?stream={}", &id[..1]));
            let mut stream = json!({
                "pk": id, "status": status, "provider": pk, "provider_obj": ssf_provider(SSF_PROVIDERS[of]),
                "delivery_method": method, "endpoint_url": url,
                "events_requested": [CREDENTIAL_CHANGE, SESSION_REVOKED, VERIFICATION],
                "format": "iss_sub", "aud": [format!("{endpoint}#{id}")], "iss": issuer(slug),
            });
            let Value::Object(more) = more else { panic!("members are those of an object") };
            stream.as_object_mut().expect("an object").extend(more);
            stream
        };
        let streams = vec![
            stream(ENABLED, 0, "enabled", PUSH, json!({"authorization_header": "Bearer s3cret"})),
            stream(PAUSED, 0, "paused", PUSH, json!({"user_subjects": [41, 42]})),
            stream(DISABLED, 1, "disabled", "urn:ietf:rfc:8935", json!({})),
            stream(POLLED, 1, "enabled", POLL, json!({"aud": ["one", "two"]})),
            stream(DELETED, 1, "disabled_deleted", PUSH, json!({})),
        ];
        Self { folder: tempfile::tempdir().expect("a folder"), streams }
    }

    /// Returns the stream with this id, for a change.
    fn stream(&mut self, id: &str) -> &mut Value {
        self.streams.iter_mut().find(|stream| stream["pk"] == id).expect("it is in the export")
    }

    fn text(&self) -> String {
        format!("{}{}\n", list(&SSF_PROVIDERS.map(ssf_provider)), list(&self.streams))
    }

    /// Writes the file, and returns its path.
    fn file(&self) -> PathBuf {
        self.file_with(&self.text())
    }

    fn file_with(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("export.json");
        fs::write(&path, text).expect("written");
        path
    }
}

/// Starts a daemon with a provider for each SSF provider of the export.
async fn daemon() -> Daemon {
    Daemon::with(|config| {
        config.providers.clear();
        for (.., slug) in SSF_PROVIDERS {
            config.providers.insert(slug.parse().expect("a name"), provider(&issuer(slug)));
        }
    })
    .await
}

fn import<'a>(file: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let file = file.to_str().expect("UTF-8");
    [&["import", "authentik", file, "--receiver", "acme", "--receiver", "8=wiki-rx"], more].concat()
}

/// Returns all streams as the daemon shows them.
async fn streams(daemon: &Daemon) -> Vec<Value> {
    let token = daemon.operator_token().await;
    let page = daemon.admin(&token, Method::GET, "/streams").send().await.expect(200).json();
    page["streams"].as_array().expect("streams").clone()
}

/// Returns what became of each stream, by its id.
fn results(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let streams = report["streams"].as_array().expect("streams");
    streams.iter().map(|stream| (text(&stream["stream_id"]), text(&stream["result"]))).collect()
}

/// Returns the results of a first import.
fn all_made() -> Vec<(String, String)> {
    let result = |id| if id == DELETED { "left_out" } else { "made" };
    STREAMS.map(|id| (id.to_owned(), result(id).to_owned())).to_vec()
}

#[actix_web::test]
async fn an_export_is_imported_twice_and_the_streams_deliver() {
    let mut receiver = Receiver::accepting().await;
    let daemon = daemon().await;
    let export = Export::new(&receiver.url("/in"));
    let file = export.file();

    let planned = daemon.ssfd_json(&import(&file, &["--dry-run"])).await;
    assert_eq!((results(&planned), &planned["dry_run"]), (all_made(), &json!(true)));
    assert_eq!(streams(&daemon).await, [] as [Value; 0], "a dry run makes nothing");

    let text = daemon.ssfd_says(&import(&file, &[])).await;
    assert!(text.contains("4 made, 0 there already, 1 left out\n"), "{text}");
    let made = streams(&daemon).await;
    assert_eq!(made.len(), 4);
    for (stream, exported) in made.iter().zip(&export.streams) {
        for member in ["status", "aud", "iss", "events_requested"] {
            assert_eq!(stream[member], exported[member], "{member}");
        }
        assert_eq!(stream["stream_id"], exported["pk"]);
        if !exported["endpoint_url"].is_null() {
            assert_eq!(stream["delivery"]["endpoint_url"], exported["endpoint_url"]);
        }
    }

    let again = daemon.ssfd_says(&import(&file, &[])).await;
    assert!(
        again.contains("0 made, 4 there already, 1 left out; nothing was changed\n"),
        "{again}"
    );
    assert!(!again.contains("differs"), "{again}");
    assert_eq!(streams(&daemon).await, made, "a second import changes nothing");

    for (_, _, slug) in SSF_PROVIDERS {
        let publisher = daemon.token(Holder::Publisher { provider: slug.parse().expect("a name") });
        daemon.publish(&publisher.await, &about("s-1")).await.expect(202);
    }
    // The SETs of the two push streams, once the paused one is enabled.
    let set = receiver.next().await;
    assert_eq!(set.headers["authorization"], "Bearer s3cret");
    daemon.ssfd_says(&["streams", "enable", PAUSED]).await;
    let sets = [set, receiver.next().await, receiver.next().await];
    let verifier = daemon.verifier("apple").await;
    let mut told = Vec::new();
    for set in sets {
        verifier.verify(set.jws()).expect("a good signature");
        let claims = set.claims();
        assert_eq!(claims["iss"], issuer("apple"));
        let of = if set.target.ends_with('1') { ENABLED } else { PAUSED };
        assert_eq!(claims["aud"], json!([format!("{}#{of}", receiver.url("/in"))]));
        let kind = if claims["events"][SESSION_REVOKED].is_null() { "control" } else { "event" };
        told.push((of, kind));
    }
    told.sort_unstable();
    assert_eq!(told, [(ENABLED, "event"), (PAUSED, "control"), (PAUSED, "event")]);

    // The poll stream belongs to another Receiver, and the disabled one gets nothing.
    let wiki = daemon.client_at("wiki", "wiki-rx").await;
    let polled = wiki.polled(POLLED).await;
    assert_eq!(polled.len(), 1, "{polled:?}");
    assert_eq!(
        (&polled[0]["iss"], &polled[0]["aud"]),
        (&json!(issuer("wiki")), &json!(["one", "two"]))
    );
    assert_eq!(wiki.read(DISABLED).await["stream_id"], DISABLED);
    let acme = daemon.client_at("apple", "acme").await;
    assert_eq!(acme.list().await.as_array().expect("streams").len(), 2);
    eventually("nothing waits", async || daemon.backlog().await == 0).await;
    assert!(receiver.rest().is_empty());
}

#[actix_web::test]
async fn what_cannot_be_carried_over_is_told_for_each_stream_and_member() {
    let daemon = daemon().await;
    let mut export = Export::new("https://rx.example/in");
    export.stream(POLLED)["events_requested"] = json!([
        SESSION_REVOKED,
        "https://schemas.openid.net/secevent/oauth/event-type/token-issued"
    ]);
    let file = export.file();
    let report = daemon.ssfd_json(&import(&file, &[])).await;
    let members = |of: &Value| -> Vec<String> {
        let notes = of["not_carried"].as_array().expect("notes");
        notes.iter().map(|note| note["member"].as_str().expect("a name").to_owned()).collect()
    };
    let streams = report["streams"].as_array().expect("streams");
    let found: Vec<_> = streams.iter().map(members).collect();
    let expected = [
        &["delivery_method", "format"][..],
        &["delivery_method", "authorization_header", "format", "user_subjects"],
        &["authorization_header", "format"],
        &["delivery_method", "endpoint_url", "events_requested", "format"],
        &[],
    ];
    assert_eq!(found, expected);
    let providers = report["ssf_providers"].as_array().expect("providers");
    let found: Vec<_> = providers.iter().map(members).collect();
    let common = ["signing_key", "token_obj", "application", "oidc_auth_providers"];
    let expected = [
        [&common[..], &["event_retention"]].concat(),
        [&common[..], &["push_verify_certificates", "event_retention"]].concat(),
    ];
    assert_eq!(found, expected);
    let text = daemon.ssfd_says(&import(&file, &["--dry-run"])).await;
    for words in [
        format!("`user_subjects` of {PAUSED}: ssfd has nothing like it"),
        format!(
            "`format` of {ENABLED}, {PAUSED}, {DISABLED} and 1 more: authentik ignores `iss_sub`"
        ),
        "for the access tokens of OIDC for Apple, set `oauth`".to_owned(),
        "`application` of the SSF provider `Wiki`: its policies".to_owned(),
    ] {
        assert!(text.contains(&words), "no `{words}` in {text}");
    }
}

/// A Receiver manages its stream after the import. A repeated import must not undo that.
#[actix_web::test]
async fn a_stream_that_was_changed_since_is_left_as_it_is() {
    let daemon = daemon().await;
    let mut export = Export::new("https://rx.example/in");
    let file = export.file();
    daemon.ssfd_says(&import(&file, &[])).await;
    let wiki = daemon.client_at("wiki", "wiki-rx").await;
    wiki.change("PATCH", POLLED, &json!({"events_requested": [SESSION_REVOKED]})).await;
    let paused = json!({"stream_id": POLLED, "status": "paused"});
    wiki.send("POST", "/ssf/status", &paused).await.expect(200);
    let before = streams(&daemon).await;
    // A stream that is new in authentik is made beside the others.
    let mut new = export.stream(DELETED).clone();
    new["pk"] = json!("66666666-8f5b-4a63-9d0e-5d1d4b6c0a11");
    new["status"] = json!("enabled");
    export.streams.push(new);
    let file = export.file();
    let report = daemon.ssfd_json(&import(&file, &[])).await;
    let polled = report["streams"].as_array().expect("streams");
    let polled = polled.iter().find(|stream| stream["stream_id"] == POLLED).expect("it is told");
    assert_eq!(polled["result"], "kept");
    assert_eq!(polled["differs"], json!(["events_requested", "status"]));
    let after = streams(&daemon).await;
    assert_eq!(after[..before.len()], before);
    assert_eq!(after.len(), before.len() + 1);
    let text = daemon.ssfd_says(&import(&file, &[])).await;
    assert!(text.contains("differs in events_requested, status; left as it is"), "{text}");
}

#[actix_web::test]
async fn a_flaw_is_named_with_its_remedy_and_nothing_is_imported() {
    let daemon = daemon().await;
    let token = daemon.operator_token().await;
    let other = json!({
        "provider": "apple", "receiver": "somebody", "aud": "x", "stream_id": PAUSED,
    });
    daemon.admin(&token, Method::POST, "/streams").json(&other).send().await.expect(201);
    let before = streams(&daemon).await;
    let refuses = async |export: &Export, text: &str, more: &[&str], words: &[&str]| {
        let file = export.file_with(text);
        let error = daemon.ssfd_fails(&import(&file, more)).await;
        for word in words.iter().chain(&["nothing was imported:"]) {
            assert!(error.contains(word), "no `{word}` in {error}");
        }
        assert_eq!(streams(&daemon).await, before);
    };
    // Without the stream whose id is taken.
    let export = || {
        let mut export = Export::new("https://rx.example/in");
        export.streams.retain(|stream| stream["pk"] != PAUSED);
        export
    };
    let with = |id: &str, member: &str, value: Value| {
        let mut export = export();
        export.stream(id)[member] = value;
        export
    };

    let whole = Export::new("https://rx.example/in");
    let taken = format!("stream {PAUSED}: `pk` is the id of a stream of the Receiver `somebody`");
    let words = [&taken[..], "give that Receiver with --receiver", "ssfd streams delete"];
    refuses(&whole, &whole.text(), &[], &words).await;

    let good = export();
    let text = good.text();
    let cut = &text[..text.len() - 20];
    refuses(&good, cut, &[], &["answer 2 is cut or no JSON", "fetch it again"]).await;
    let first_alone =
        list(&[good.streams[0].clone()]).to_string().replace("\"count\":1", "\"count\":9");
    refuses(&good, &first_alone, &[], &["has 1 of 9 streams", "&page=2"]).await;
    refuses(&good, r#"{"detail":"Token invalid/expired"}"#, &[], &["`Token invalid/expired`"])
        .await;
    let twice = format!("{text}{}", list(&good.streams));
    refuses(&good, &twice, &[], &["`pk` occurs twice", ENABLED, POLLED]).await;

    for (id, member, value, words) in [
        (ENABLED, "status", json!("gone"), &["`status` is `gone`: must be `enabled`"][..]),
        (ENABLED, "delivery_method", json!("urn:x"), &["`delivery_method` must be one of"]),
        (
            ENABLED,
            "endpoint_url",
            json!("https://10.0.0.7/in"),
            &[
                "`delivery.endpoint_url` must not be used: 10.0.0.7 is not a public address",
                "allow it by `allow_networks`",
            ],
        ),
        (ENABLED, "endpoint_url", json!("rx.example/in"), &["`delivery.endpoint_url` must be"]),
        (ENABLED, "authorization_header", json!("a\nb"), &["`delivery.authorization_header` must"]),
        (ENABLED, "aud", json!([]), &["`aud` must have a value", "write the `aud`"]),
        (ENABLED, "events_requested", json!(["*"]), &["`events_requested` has `*`", "remove it"]),
        (
            ENABLED,
            "events_requested",
            json!(["urn:x:y"]),
            &[
                "`events_requested` has `urn:x:y`, which no specification defines",
                "list it in `providers.apple.events_supported`",
            ],
        ),
        (
            ENABLED,
            "iss",
            json!("https://auth.example/old"),
            &[
                "`iss` `https://auth.example/old` is the issuer of no provider",
                "set `providers.<name>.issuer` to it",
            ],
        ),
    ] {
        let export = with(id, member, value);
        let named = format!("stream {id}: ");
        refuses(&export, &export.text(), &[], &[words, &[&named]].concat()).await;
    }

    // All flaws are told at once, and the streams without one are not imported either.
    let mut flawed = with(ENABLED, "iss", json!("https://auth.example/old"));
    flawed.stream(DISABLED)["endpoint_url"] = json!("https://[::1]/in");
    let both =
        [format!("stream {ENABLED}: `iss`"), format!("stream {DISABLED}: `delivery.endpoint_url`")];
    refuses(&flawed, &flawed.text(), &[], &[&both[0], &both[1]]).await;

    let words = ["`provider` must be one of `apple`, `wiki`, not `corp`"];
    refuses(&good, &text, &["--provider", "corp"], &words).await;
    let words = ["--receiver: `Wikis` is no id of a stream in the export"];
    refuses(&good, &text, &["--receiver", "Wikis=rx"], &words).await;
    let nobody = format!("{}/nobody.json", good.folder.path().display());
    let error = daemon.ssfd_fails(&["import", "authentik", &nobody, "--receiver", "acme"]).await;
    assert!(error.contains(&nobody), "{error}");

    let file = good.file();
    let error = daemon
        .ssfd_fails(&["import", "authentik", file.to_str().expect("UTF-8"), "--receiver", "8=rx"])
        .await;
    let words = format!("stream {ENABLED}: no --receiver says who owns it; give `--receiver NAME`");
    assert!(error.contains(&words), "{error}");
    assert_eq!(streams(&daemon).await, before);

    daemon.ssfd_says(&import(&file, &[])).await;
    assert_eq!(streams(&daemon).await.len(), before.len() + 3);
}

#[actix_web::test]
async fn streams_may_go_to_another_provider_whose_issuer_is_told() {
    let daemon = daemon().await;
    let export = Export::new("https://rx.example/in");
    let file = export.file();
    let report = daemon.ssfd_json(&import(&file, &["--provider", "wiki"])).await;
    assert_eq!(results(&report), all_made());
    let note = &report["streams"][0]["not_carried"].as_array().expect("notes")[1];
    let why = note["why"].as_str().expect("a text");
    assert_eq!(note["member"], "iss");
    assert!(why.contains(&issuer("wiki")) && why.contains(&issuer("apple")), "{why}");
    let all_at_wiki = streams(&daemon).await.iter().all(|stream| stream["provider"] == "wiki");
    assert!(all_at_wiki);
    let again = daemon.ssfd_says(&import(&file, &["--provider", "wiki"])).await;
    assert!(again.contains("nothing was changed"), "{again}");
    // Without the name of the provider, these are streams of another one.
    let error = daemon.ssfd_fails(&import(&file, &[])).await;
    assert!(error.contains("at the provider `wiki`"), "{error}");
}
