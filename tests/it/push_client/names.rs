//! The look-up of host names, by a DNS server on loopback that a test scripts.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Mutex,
};

use futures_util::future::join_all;
use ssfd::{
    delivery::{
        lane::Lane,
        outbox::{PendingSet, Seq, SetKind},
        parcel::{Outcomes, Parcel},
    },
    domain::{
        audience::Audience,
        status::StreamStatus,
        stream::{Delivery, StreamConfig},
        subject::{format::SubjectFormat, list::DefaultSubjects},
        time::Timestamp,
    },
    push::settings::DnsSettings,
};
use tokio::{net::UdpSocket, task::JoinHandle};

use super::*;
use crate::{
    harness::{eventually, within},
    raw_server::{Answer, RawServer, Then},
};

const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";

/// Names and their addresses. A name without an address is never answered.
type Zone = Arc<Mutex<BTreeMap<String, Option<Ipv4Addr>>>>;

/// A DNS server that answers questions for A records.
struct NameServer {
    address: SocketAddr,
    zone: Zone,
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl NameServer {
    async fn start(zone: &[(&str, Option<Ipv4Addr>)]) -> Self {
        let zone = zone.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
        let (zone, asked) = (Zone::new(Mutex::new(zone)), Arc::new(Mutex::new(Vec::new())));
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let (names, log) = (Arc::clone(&zone), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                if let Some(answer) = answer(&question[..length], &names, &log) {
                    socket.send_to(&answer, from).await.ok();
                }
            }
        });
        Self { address, zone, asked, serving }
    }

    fn move_to(&self, name: &str, address: Ipv4Addr) {
        self.zone.lock().unwrap().insert(name.to_owned(), Some(address));
    }

    /// Returns the names that were asked for, each question once for each type of record.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn settings(&self) -> PushSettings {
        let dns = DnsSettings { servers: vec![self.address], ..DnsSettings::default() };
        PushSettings { dns, ..settings(None) }
    }
}

/// Answers a message with one question (RFC 1035 §4), with a lifetime of 0 s.
fn answer(message: &[u8], zone: &Zone, asked: &Mutex<Vec<String>>) -> Option<Vec<u8>> {
    let (mut name, mut at) = (Vec::new(), 12);
    while message[at] != 0 {
        let end = at + 1 + usize::from(message[at]);
        name.push(String::from_utf8_lossy(&message[at + 1..end]).to_lowercase());
        at = end;
    }
    let (name, kind) = (name.join("."), message[at + 2]);
    asked.lock().unwrap().push(name.clone());
    let found = zone.lock().unwrap().get(&name).copied();
    let address = match found {
        Some(None) => return None,
        Some(address) => address.filter(|_| kind == 1),
        None => None,
    };
    let rcode = if found.is_none() { 3 } else { 0 };
    let mut answer = message[..2].to_vec();
    answer.extend([0x81, 0x80 | rcode, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    answer.extend(&message[12..at + 5]);
    if let Some(address) = address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

/// A stream of a Receiver, which pushes to this URL.
fn stream_of(receiver: &str, url: &str) -> StreamConfig {
    StreamConfig {
        id: "st_1".parse().unwrap(),
        provider: "acme".parse().unwrap(),
        receiver: receiver.parse().unwrap(),
        audience: Audience::one("https://rx.example").unwrap(),
        events_requested: None,
        delivery: Delivery::Push(to(url)),
        description: None,
        default_subjects: DefaultSubjects::All,
        subject_format: SubjectFormat::AsPublished,
        status: StreamStatus::Enabled,
        reason: None,
        version: 1,
        created_at: Timestamp::EPOCH,
    }
}

async fn deliver(client: &PushClient, stream: &StreamConfig) -> Outcome {
    let set = PendingSet {
        seq: Seq(1),
        jti: "j1".parse().unwrap(),
        lane: Lane::from_i64(1),
        kind: SetKind::Event,
        claims: "{}".into(),
        appended_at: Timestamp::EPOCH,
        attempts: 0,
        due_at: Timestamp::EPOCH,
    };
    let endpoint = stream.endpoint().unwrap();
    match client.deliver(stream, endpoint, &Parcel::one(set, SET)).await {
        Outcomes::All(outcome) => outcome,
        Outcomes::Each(outcomes) => panic!("one SET, and {outcomes:?}"),
    }
}

#[tokio::test]
async fn a_name_is_looked_up_at_the_configured_server_and_kept_for_a_while() {
    let dns = NameServer::start(&[("rx.example", Some(Ipv4Addr::LOCALHOST))]).await;
    let close = "HTTP/1.1 202 Accepted\r\nconnection: close\r\n\r\n";
    let server = RawServer::start_plain(move |_, _| Answer::new(close, Then::Close)).await;
    let client = client_with(&dns.settings());
    let target = to(&server.url_of("rx.example"));
    let outcomes = join_all((0..30).map(|_| client.push(&target, SET))).await;
    assert!(outcomes.iter().all(|outcome| outcome.class() == "accepted"), "{outcomes:?}");
    let asked = dns.asked().len();
    assert!(asked < 30, "{asked} questions for 30 connections");

    let unknown = client.push(&to(&server.url_of("other.example")), SET).await;
    assert_failed(&unknown, FailureClass::Connect);
}

/// PUSH-12: the addresses of a name are judged like an address in a URL.
#[tokio::test]
async fn a_name_that_points_into_our_network_is_refused() {
    let private = Ipv4Addr::new(10, 0, 0, 7);
    let dns = NameServer::start(&[("rx.example", Some(private))]).await;
    let outcome = client_with(&dns.settings()).push(&to("http://rx.example/in"), SET).await;
    assert_failed(&outcome, FailureClass::AddressRefused);
}

/// Names that take long are those of one Receiver, and so is the wait.
#[tokio::test]
async fn slow_names_of_one_receiver_do_not_hold_up_another() {
    const PLACES: usize = 4;
    let slow: Vec<_> = (0..60).map(|n| format!("slow-{n}.example")).collect();
    let mut zone: Vec<_> = slow.iter().map(|name| (name.as_str(), None)).collect();
    zone.push(("well.example", Some(Ipv4Addr::LOCALHOST)));
    let dns = NameServer::start(&zone).await;
    let server = RawServer::start_plain(|_, _| Answer::new(ACCEPTED, Then::GoOn)).await;
    let mut settings = dns.settings();
    settings.dns.receiver_look_ups_max = PLACES;
    settings.dns.look_ups_max = PLACES + 1;
    // Longer than the test may take.
    settings.connect_timeout = 2 * crate::harness::DEADLINE;
    settings.attempt_timeout = 2 * crate::harness::DEADLINE;
    let client = client_with(&settings);

    let pushes = slow.iter().map(|name| {
        let (client, stream) = (client.clone(), stream_of("slow", &server.url_of(name)));
        tokio::spawn(async move { deliver(&client, &stream).await })
    });
    let pushes: Vec<_> = pushes.collect();
    eventually("slow names are asked for", async || !dns.asked().is_empty()).await;
    for _ in 0..20 {
        let well = stream_of("well", &server.url_of("well.example"));
        let outcome = within("an answer", deliver(&client, &well)).await;
        assert_eq!(outcome, Outcome::Accepted { status: 202 });
    }
    let mut asked = dns.asked();
    asked.retain(|name| name.starts_with("slow"));
    asked.sort();
    asked.dedup();
    assert!(asked.len() <= PLACES, "{asked:?} at a time");
    pushes.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn a_look_up_that_is_given_up_frees_its_place() {
    let dns =
        NameServer::start(&[("slow.example", None), ("well.example", Some(Ipv4Addr::LOCALHOST))])
            .await;
    let server = RawServer::start_plain(|_, _| Answer::new(ACCEPTED, Then::GoOn)).await;
    let mut settings = dns.settings();
    (settings.dns.look_ups_max, settings.connect_timeout) = (1, Duration::from_millis(300));
    let client = client_with(&settings);
    for _ in 0..3 {
        let slow = client.push(&to(&server.url_of("slow.example")), SET).await;
        assert_failed(&slow, FailureClass::Connect);
        let well = within("an answer", client.push(&to(&server.url_of("well.example")), SET)).await;
        assert_eq!(well, Outcome::Accepted { status: 202 });
    }
}

/// Under steady traffic, without a connection that ends by itself.
#[tokio::test]
async fn a_changed_address_takes_effect() {
    let (old, new) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2));
    let dns = NameServer::start(&[("rx.example", Some(old))]).await;
    let before = RawServer::start_plain(|_, _| Answer::new(ACCEPTED, Then::GoOn)).await;
    let after =
        RawServer::start_plain_at(new, before.port(), |_, _| Answer::new(ACCEPTED, Then::GoOn))
            .await;
    let mut settings = dns.settings();
    settings.connection_age_max = Duration::from_millis(100);
    settings.dns.cache_max = Duration::from_millis(100);
    let (client, target) = (client_with(&settings), to(&before.url_of("rx.example")));
    let push = async || {
        let outcome = within("an answer", client.push(&target, SET)).await;
        assert_eq!(outcome, Outcome::Accepted { status: 202 });
    };
    push().await;
    assert_eq!((before.seen(), after.seen()), (1, 0));
    dns.move_to("rx.example", new);
    eventually("the new address is used", async || {
        push().await;
        after.seen() != 0
    })
    .await;
}
