//! The process is killed again and again while devices check in.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use ssfd::{
    cli::{agent::AgentClient, http::HttpClient},
    clock,
    domain::secret::Secret,
};

use super::{BAD, COMPLIANCE_CHANGE, GOOD, change};
use crate::{
    command_line::{Daemon, Workplace, ask},
    harness::{eventually, receiver::claims},
};

const DEVICES: usize = 8;
const KILLS: usize = 4;
/// How many check-ins each kill waits for.
const CHECK_INS: usize = 25;

struct Serving {
    daemon: Daemon,
    public: String,
    internal: String,
    sources: String,
}

fn serve(place: &Workplace) -> Serving {
    let mut daemon = place.serve();
    let serving = daemon.logs("serving");
    let address = |name: &str| serving[name].as_str().expect("an address").to_owned();
    let (public, internal, sources) = (address("public"), address("internal"), address("sources"));
    Serving { daemon, public, internal, sources }
}

/// Each device changes its status with each check-in, as far as it knows. Afterwards the number of SETs of
/// each device is the number of its changes, and the SETs alternate.
#[actix_web::test]
async fn each_change_gives_one_set_however_often_the_process_is_killed() {
    let place = Workplace::new();
    place.configure(
        "sources.listen = \"127.0.0.1:0\"\n\
         [providers.default.agents.laptops]\n\
         audience = \"agents\"\nchallenges_max = 64\nchallenge_lifetime = \"10s\"\n\
         interval = \"1s\"\nlost_after = 1000\n\
         [[providers.default.agents.laptops.rules]]\n\
         name = \"disk\"\nfact = \"/disk/encrypted\"\nequals = true\n",
    );
    let mut serving = serve(&place);
    let make = |kind: &[&str]| {
        let made = place.prints_json(&[&["tokens", "create", "--json"], kind].concat());
        made["token"].as_str().expect("a token").to_owned()
    };
    let receiver = make(&["receiver", "--receiver", "rx", "--audience", "https://rx.example"]);
    let operator = make(&["operator"]);
    let body = json!({"events_requested": [COMPLIANCE_CHANGE]}).to_string();
    let (status, created) = ask(&serving.public, "POST /ssf/streams", Some(&receiver), &body);
    assert_eq!(status, 201, "{created}");
    let created: Value = serde_json::from_str(&created).expect("JSON");
    let stream = created["stream_id"].as_str().expect("an id").to_owned();
    let mut tokens = Vec::new();
    for n in 0..DEVICES {
        let body =
            json!({"provider": "default", "agents": "laptops", "device": format!("dev-{n}")});
        let path = "POST /admin/v1/devices";
        let (status, added) = ask(&serving.internal, path, Some(&operator), &body.to_string());
        assert_eq!(status, 201, "{added}");
        let added: Value = serde_json::from_str(&added).expect("JSON");
        tokens.push(added["token"].as_str().expect("a token").to_owned());
    }

    let http = HttpClient::new(None).expect("a client");
    for _ in 0..KILLS {
        let stop = AtomicBool::new(false);
        let url = format!("http://{}/in/default/laptops", serving.sources);
        let devices = tokens.iter().enumerate().map(|(n, token)| {
            let (http, token) = (http.clone(), Secret::new(token.as_str()));
            let (url, id) = (url.parse().expect("a URL"), format!("dev-{n}"));
            let id = id.parse().expect("an id");
            AgentClient::new(http, url, id, "agents".to_owned(), token)
        });
        let devices: Vec<_> = devices.collect();
        let (stop, daemon) = (&stop, &serving.daemon);
        let run = |client: AgentClient| {
            async move {
                let (mut facts, mut counted) = (BAD, 0);
                while !stop.load(Ordering::Relaxed) {
                    if client.check_in(facts, clock::now()).await.is_ok() {
                        (facts, counted) = (if facts == BAD { GOOD } else { BAD }, counted + 1);
                    }
                    if CHECK_INS <= counted {
                        // The first device that has checked in so often ends the round for all.
                        stop.store(true, Ordering::Relaxed);
                        daemon.signal("KILL");
                    }
                }
            }
        };
        join_all(devices.into_iter().map(run)).await;
        serving.daemon.ends();
        serving = serve(&place);
    }

    let shown = |serving: &Serving| {
        let path = "GET /admin/v1/devices?limit=100";
        let (status, all) = ask(&serving.internal, path, Some(&operator), "");
        assert_eq!(status, 200, "{all}");
        serde_json::from_str::<Value>(&all).expect("JSON")
    };
    // The sweep has completed what the last kill left.
    let sweep = || {
        let (_, jobs) = ask(&serving.internal, "GET /admin/v1/jobs", Some(&operator), "");
        let jobs: Value = serde_json::from_str(&jobs).expect("JSON");
        let jobs = jobs["jobs"].as_array().expect("jobs").clone();
        jobs.into_iter().find(|job| job["name"] == "sweep_devices").expect("it runs")
    };
    eventually("a sweep has ended", async || sweep()["last_run"]["did"].is_object()).await;
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut ack: Vec<String> = Vec::new();
    loop {
        let body = json!({"ack": ack, "returnImmediately": true}).to_string();
        let path = format!("POST /ssf/poll/{stream}");
        let (status, polled) = ask(&serving.public, &path, Some(&receiver), &body);
        assert_eq!(status, 200, "{polled}");
        let polled: Value = serde_json::from_str(&polled).expect("JSON");
        let sets = polled["sets"].as_object().expect("SETs");
        if sets.is_empty() {
            break;
        }
        ack = sets.keys().cloned().collect();
        let mut some: Vec<_> =
            sets.values().map(|set| claims(set.as_str().expect("a JWS"))).collect();
        // The `jti`s of one stream sort by the time of their events.
        some.sort_by_key(|claims| claims["jti"].to_string());
        for claims in &some {
            let (device, status) = change(claims);
            told.entry(device).or_default().push(status);
        }
    }
    assert_eq!(told.len(), DEVICES);
    for device in shown(&serving)["devices"].as_array().expect("devices") {
        let statuses = &told[device["device"].as_str().expect("an id")];
        assert!(statuses.windows(2).all(|pair| pair[0] != pair[1]), "{device}: {statuses:?}");
        assert_eq!(statuses[0], "not-compliant", "{device}");
        assert_eq!(*statuses.last().expect("some"), device["status"], "{device}");
    }
}
