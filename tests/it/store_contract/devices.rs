//! Devices with their standing, their tokens, and the losses that are held.

use super::*;
use ssfd::{
    domain::{
        grant::TokenHash,
        posture::{
            Admission, Cause, Change, ClockOff, Compliance, Device, DeviceKey, SpentChallenge,
            Standing, Status,
        },
        subject::SubjectId,
    },
    store::records::{
        device::{DeviceStore as _, DevicesOf},
        device_token::{DeviceToken, DeviceTokenStore as _},
        held_losses::{HeldLosses, HeldLossesStore as _},
    },
};

pub(super) fn key(provider: &str, agents: &str, device: &str) -> DeviceKey {
    DeviceKey {
        provider: provider.parse().expect("a name"),
        agents: agents.parse().expect("a name"),
        device: device.parse().expect("an id"),
    }
}

fn hash(head: &str) -> TokenHash {
    TokenHash::from_hex(format!("{head:0<64}"))
}

/// A device that has something in each place.
pub(super) fn full(key: DeviceKey) -> Device {
    let user = serde_json::json!({"format": "email", "email": "kim@example.com"});
    let disk = || "disk".parse().expect("a name");
    Device {
        key,
        name: Some("Kim's laptop".to_owned()),
        platform: Some("macos".to_owned()),
        user: Some(SubjectId::try_from(user).expect("valid")),
        admission: Admission::Revoked { at: later(9) },
        registered_at: NOW,
        token: Some(hash("aa")),
        standing: Standing {
            status: Status::NotCompliant,
            seq: 1_700_000_000_003,
            changed_at: Some(later(5)),
            failing: [(disk(), later(4))].into(),
            last_check_in: Some(later(6)),
            lost_at: Some(later(8)),
        },
        pending: Some(Change {
            seq: 1_700_000_000_003,
            to: Compliance::NotCompliant,
            at: later(5),
            cause: Cause::Failed(vec![disk()]),
        }),
        clock_off: Some(ClockOff { secs: -600, seen_at: later(7) }),
        spent: vec![SpentChallenge { atc: "spent".to_owned(), expires_at: later(300) }],
    }
}

/// A device that has just been registered.
fn bare(key: DeviceKey) -> Device {
    Device {
        name: None,
        platform: None,
        user: None,
        admission: Admission::Registered,
        token: None,
        standing: Standing::registered(NOW),
        pending: None,
        clock_off: None,
        spent: Vec::new(),
        ..full(key)
    }
}

pub(super) async fn a_device_comes_back_as_it_was_given(backend: impl Backend) {
    let store = backend.open().await;
    let causes = [
        Cause::Met,
        Cause::Lost { since: later(3) },
        Cause::Failed(vec!["disk".parse().expect("a name"), "os".parse().expect("a name")]),
    ];
    let mut devices =
        vec![bare(key("acme", "laptops", "bare")), full(key("acme", "laptops", "full"))];
    devices.extend(causes.into_iter().enumerate().map(|(n, cause)| {
        let device = full(key("acme", "laptops", &format!("dev-{n}")));
        let pending =
            device.pending.map(|change| Change { to: Compliance::Compliant, cause, ..change });
        Device { pending, admission: Admission::Quarantined, ..device }
    }));
    for device in &devices {
        store.create_device(device, "first".to_owned()).await.expect("created");
    }
    drop(store);
    let store = backend.open().await;
    for device in &devices {
        let found = store.device(&device.key).await.expect("readable").expect("it is there");
        assert_eq!(found.record, *device);
    }
    assert_eq!(store.device(&key("acme", "phones", "bare")).await.expect("readable"), None);
}

/// The same change by two requests is two changes: only one of them was made over the version that both
/// have read.
pub(super) async fn of_two_writers_of_the_same_device_one_wins(backend: impl Backend) {
    let store = backend.open().await;
    let device = bare(key("acme", "laptops", "dev-1"));
    store.create_device(&device, "first".to_owned()).await.expect("created");
    let again = store.create_device(&device, "second".to_owned()).await;
    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    store.create_device(&device, "first".to_owned()).await.expect("a repetition of the same call");
    let version = store.device(&device.key).await.expect("readable").expect("there").version;
    let spent = vec![SpentChallenge { atc: "one".to_owned(), expires_at: later(300) }];
    let next = Device { spent, ..device };
    let writes = ["a", "b", "c"].map(|by| store.replace_device(&next, version, by.to_owned()));
    let written = futures_util::future::join_all(writes).await;
    assert_eq!(written.iter().filter(|one| one.is_ok()).count(), 1, "{written:?}");
}

pub(super) async fn a_token_is_found_by_its_hash_and_goes_with_its_device(backend: impl Backend) {
    let store = backend.open().await;
    let (one, other) = (key("acme", "laptops", "dev-1"), key("acme", "phones", "dev-1"));
    let token = |head: &str| DeviceToken {
        hash: hash(head),
        token: Secret::new(format!("token-{head}")),
        made_at: NOW,
    };
    let orphan = store.put_device_token(&one, &token("aa")).await;
    assert!(matches!(orphan, Err(StoreError::Conflict)), "a device comes first: {orphan:?}");
    for (device, head) in [(&one, "aa"), (&other, "bb")] {
        store.create_device(&bare(device.clone()), "first".to_owned()).await.expect("created");
        store.put_device_token(device, &token(head)).await.expect("kept");
    }
    let find = async |store: &dyn Store, of: &DeviceKey, head: &str| {
        let found = store.device_token(&of.provider, &of.agents, &hash(head)).await;
        let found = found.expect("readable");
        found.map(|(device, token)| (device.to_string(), token.expose().to_owned()))
    };
    let expected = Some(("dev-1".to_owned(), "token-aa".to_owned()));
    assert_eq!(find(&*store, &one, "aa").await, expected);
    assert_eq!(find(&*store, &other, "aa").await, None, "each table has its own tokens");
    assert!(store.delete_device_token(&other, &hash("bb")).await.expect("deleted"));
    assert!(!store.delete_device_token(&other, &hash("bb")).await.expect("asked"));
    let version = store.device(&one).await.expect("readable").expect("there").version;
    let changed = store.remove_device(&one, version + 1).await;
    assert!(matches!(changed, Err(StoreError::Conflict)), "{changed:?}");
    assert!(store.remove_device(&one, version).await.expect("removed"));
    assert!(!store.remove_device(&one, version).await.expect("asked"));
    assert_eq!(find(&*store, &one, "aa").await, None, "it went with the device");
}

pub(super) async fn devices_are_listed_by_provider_and_agents_in_pages(backend: impl Backend) {
    let store = backend.open().await;
    for (provider, agents, device) in [
        ("acme", "laptops", "b"),
        ("acme", "laptops", "a"),
        ("acme", "laptops2", "c"),
        ("acme2", "laptops", "d"),
        ("acme", "phones", "e"),
    ] {
        let device = bare(key(provider, agents, device));
        store.create_device(&device, "first".to_owned()).await.expect("created");
    }
    let list = async |provider: Option<&str>, agents: Option<&str>| {
        let of = DevicesOf {
            provider: provider.map(|name| name.parse().expect("a name")),
            agents: agents.map(|name| name.parse().expect("a name")),
        };
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let (devices, next) = store.devices(&of, after, 2).await.expect("readable");
            names.extend(devices.iter().map(|device| device.record.key.device.to_string()));
            after = next;
            if after.is_none() {
                return names.join(" ");
            }
        }
    };
    assert_eq!(list(None, None).await, "a b c e d");
    assert_eq!(list(Some("acme"), None).await, "a b c e");
    assert_eq!(list(Some("acme"), Some("laptops")).await, "a b");
    assert_eq!(list(Some("nobody"), None).await, "");
}

pub(super) async fn losses_are_held_until_they_are_released(backend: impl Backend) {
    let store = backend.open().await;
    let (provider, agents) = ("acme".parse().expect("a name"), "laptops".parse().expect("a name"));
    let held = async || store.held_losses(&provider, &agents).await.expect("readable");
    assert_eq!(held().await, None);
    let losses = |devices| HeldLosses {
        provider: provider.clone(),
        agents: agents.clone(),
        held_at: NOW.as_millis(),
        devices,
        released_at: None,
    };
    store.hold_losses(&losses(7)).await.expect("held");
    store.hold_losses(&losses(9)).await.expect("held already");
    let first = held().await.expect("held");
    assert_eq!(first.record, losses(7));
    store.release_losses(&first, later(5)).await.expect("released");
    let released = held().await.expect("still there");
    assert_eq!(released.record.released_at, Some(later(5).as_millis()));
    let stale = store.release_losses(&first, later(6)).await;
    assert!(matches!(stale, Err(StoreError::Conflict)), "{stale:?}");
    store.end_held_losses(&first).await.expect("it has changed since");
    assert!(held().await.is_some());
    store.end_held_losses(&released).await.expect("ended");
    assert_eq!(held().await, None);
}
