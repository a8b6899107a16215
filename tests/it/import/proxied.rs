//! A Receiver that goes on using authentik's URLs, through nginx as the page configures it.

use hyper::Method;
use serde_json::{Value, json};

use super::{ENABLED, Export, daemon, import, issuer};
use crate::{
    harness::{
        daemon::Daemon,
        events::{SESSION_REVOKED, VERIFICATION},
        http_client::{Call, get},
        receiver::Receiver,
    },
    proxies::Proxy,
};

/// The block of nginx on the page.
fn locations() -> String {
    let page = include_str!("../../../docs/operate/from-authentik.md");
    let (_, below) = page.split_once("In the `server` of nginx").expect("the page has a block");
    let (_, block) = below.split_once("```text\n").expect("the block begins");
    block.split_once("```").expect("the block ends").0.to_owned()
}

async fn start() -> (Receiver, Daemon, Proxy) {
    let receiver = Receiver::accepting().await;
    let daemon = daemon().await;
    let export = Export::new(&receiver.url("/in"));
    daemon.ssfd_says(&import(&export.file(), &[])).await;
    let proxy = Proxy::nginx(&daemon, &locations()).await;
    (receiver, daemon, proxy)
}

#[actix_web::test]
async fn a_receiver_of_authentik_goes_on_with_the_urls_that_it_knows() {
    let (mut receiver, daemon, proxy) = start().await;
    let token = daemon.client_at("apple", "acme").await.token;
    let call = |method: Method, path: &str| Call::new(method, &proxy.url(path)).bearer(&token);
    let url = "/application/ssf/apple/stream/";

    let metadata = get(&proxy.url("/.well-known/ssf-configuration/apple")).send().await.expect(200);
    assert_eq!(metadata.json()["issuer"], issuer("apple"));
    let keys = get(&proxy.url("/application/ssf/apple/ssf-jwks/")).send().await.expect(200);
    assert_eq!(keys.json()["keys"].as_array().expect("keys").len(), 1);

    let of_one = format!("{url}?stream_id={ENABLED}");
    let stream = call(Method::GET, &of_one).send().await.expect(200).json();
    assert_eq!((&stream["stream_id"], &stream["iss"]), (&json!(ENABLED), &json!(issuer("apple"))));
    let change = json!({"stream_id": ENABLED, "events_requested": [SESSION_REVOKED]});
    let changed = call(Method::PATCH, url).json(&change).send().await.expect(200).json();
    assert_eq!(changed["events_delivered"], json!([SESSION_REVOKED]));

    let verify = json!({"stream_id": ENABLED, "state": "x7"});
    call(Method::POST, &format!("{url}verify/")).json(&verify).send().await.expect(204);
    let set = receiver.next().await;
    daemon.verifier("apple").await.verify(set.jws()).expect("a good signature");
    assert_eq!(set.claims()["events"], json!({VERIFICATION: {"state": "x7"}}));

    let status = format!("{url}status/");
    let of_one = format!("{status}?stream_id={ENABLED}");
    assert_eq!(call(Method::GET, &of_one).send().await.expect(200).json()["status"], "enabled");
    let paused = json!({"stream_id": ENABLED, "status": "paused"});
    call(Method::POST, &status).json(&paused).send().await.expect(200);
    assert_eq!(call(Method::GET, &of_one).send().await.expect(200).json()["status"], "paused");

    call(Method::DELETE, &format!("{url}?stream_id={ENABLED}")).send().await.expect(204);
    call(Method::GET, &format!("{url}?stream_id={ENABLED}")).send().await.expect(404);
}

/// The URLs in the new metadata lead to the daemon, too.
#[actix_web::test]
async fn each_url_of_the_metadata_is_forwarded() {
    let (_receiver, daemon, proxy) = start().await;
    let token = daemon.client_at("apple", "acme").await.token;
    let metadata = get(&proxy.url("/.well-known/ssf-configuration/apple")).send().await.expect(200);
    let metadata = metadata.json();
    let members = metadata.as_object().expect("an object");
    let urls =
        members.iter().filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri");
    let mut seen = 0;
    for (name, url) in urls {
        let url = url::Url::parse(url.as_str().expect("a text")).expect("a URL");
        let answer = Call::new(Method::GET, &proxy.url(url.path())).bearer(&token).send().await;
        assert_ne!(answer.status, 404, "{name}: {url}");
        seen += 1;
    }
    assert!(5 < seen, "{seen}");
    let problem = get(&proxy.url("/.well-known/ssf-configuration/apple/nowhere")).send().await;
    assert_eq!(problem.expect(404).json()["status"], Value::from(404), "the daemon answers");
}
