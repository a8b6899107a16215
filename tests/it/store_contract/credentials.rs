//! Tokens, and the clients that they are issued to.

use super::*;
use ssfd::{
    domain::{
        client::Client,
        grant::{Credential, Grant, Holder, NamedHolder, Scope, TokenHash},
        id::ClientId,
    },
    store::{StoreError, records::last_use::LastUseStore as _},
};

fn hash(head: &str) -> TokenHash {
    TokenHash::from_hex(format!("{head:0<64}"))
}

fn receiver(head: &str) -> Grant {
    Grant {
        hash: hash(head),
        holder: NamedHolder {
            name: Some("rx-2026".parse().expect("valid")),
            client: None,
            role: Holder::Receiver {
                provider: "acme".parse().expect("valid"),
                receiver: "rx".parse().expect("valid"),
                audience: Audience::from_values(vec!["a".into(), "b".into()]).expect("not empty"),
                scopes: vec![Scope::Read, Scope::Manage],
            },
        },
        created_at: NOW,
        expires_at: Some(later(60)),
    }
}

fn publisher(head: &str) -> Grant {
    let holder = Holder::Publisher { provider: "acme".parse().expect("valid") };
    Grant { hash: hash(head), holder: holder.into(), created_at: later(1), expires_at: None }
}

async fn all(store: &dyn Store) -> Vec<Grant> {
    let mut grants = store.grants().await.expect("readable");
    grants.sort_by(|a, b| a.hash.cmp(&b.hash));
    grants
}

pub(super) async fn a_grant_comes_back_as_it_was_given(backend: impl Backend) {
    let store = backend.open().await;
    assert!(all(&*store).await.is_empty());
    for grant in [receiver("a1"), publisher("b2")] {
        store.put_grant(grant).await.expect("kept");
    }
    drop(store);
    let store = backend.open().await;
    assert_eq!(store.grant(&hash("a1")).await.expect("readable"), Some(receiver("a1")));
    assert_eq!(store.grant(&hash("b2")).await.expect("readable"), Some(publisher("b2")));
    assert_eq!(store.grant(&hash("a")).await.expect("readable"), None);
    assert_eq!(all(&*store).await, [receiver("a1"), publisher("b2")]);
}

pub(super) async fn a_grant_is_replaced_under_its_hash(backend: impl Backend) {
    let store = backend.open().await;
    store.put_grant(receiver("a1")).await.expect("kept");
    store.put_grant(publisher("a1")).await.expect("kept");
    assert_eq!(all(&*store).await, [publisher("a1")]);
}

pub(super) async fn a_revoked_grant_is_gone(backend: impl Backend) {
    let store = backend.open().await;
    store.put_grant(receiver("a1")).await.expect("kept");
    assert!(!store.revoke_grant(&hash("b2")).await.expect("asked"));
    assert!(store.revoke_grant(&hash("a1")).await.expect("revoked"));
    assert!(!store.revoke_grant(&hash("a1")).await.expect("asked"));
    assert_eq!(store.grant(&hash("a1")).await.expect("readable"), None);
}

pub(super) async fn a_grant_expires(backend: impl Backend) {
    let store = backend.open().await;
    for grant in [receiver("a1"), publisher("b2")] {
        store.put_grant(grant).await.expect("kept");
    }
    assert!(!store.expire_records(later(59)).await.expect("expired"));
    assert_eq!(all(&*store).await.len(), 2);
    assert!(!store.expire_records(later(60)).await.expect("expired"));
    assert_eq!(all(&*store).await, [publisher("b2")]);
}

fn client_id(raw: &str) -> ClientId {
    raw.parse().expect("a valid id")
}

fn client(id: &str) -> Client {
    Client {
        id: client_id(id),
        secret: hash("c3"),
        provider: "acme".parse().expect("valid"),
        receiver: "rx".parse().expect("valid"),
        audience: Audience::one("https://rx.example").expect("not empty"),
        scopes: vec![Scope::Read, Scope::Create],
        created_at: NOW,
    }
}

pub(super) async fn a_client_comes_back_as_it_was_given(backend: impl Backend) {
    let store = backend.open().await;
    let second = Client { created_at: later(1), ..client("a") };
    for client in [client("b"), second.clone()] {
        store.create_client(client).await.expect("kept");
    }
    let again = Client { secret: hash("d4"), ..client("b") };
    assert!(matches!(store.create_client(again).await, Err(StoreError::Conflict)));
    drop(store);
    let store = backend.open().await;
    assert_eq!(store.client(&client_id("b")).await.expect("readable"), Some(client("b")));
    assert_eq!(store.client(&client_id("c")).await.expect("readable"), None);
    assert_eq!(store.clients().await.expect("readable"), [client("b"), second]);
}

pub(super) async fn a_clients_tokens_are_its_own_and_bounded(backend: impl Backend) {
    let store = backend.open().await;
    for id in ["a", "b"] {
        store.create_client(client(id)).await.expect("kept");
    }
    store.put_grant(publisher("d0")).await.expect("kept");
    let issue = async |id: &str, head: &str, secs| {
        let grant = Grant { created_at: later(secs), ..receiver(head) };
        store.issue_grant(&client_id(id), grant, 2).await
    };
    issue("b", "e0", 0).await.expect("issued");
    for (secs, head) in ["a1", "a2", "a3"].into_iter().enumerate() {
        issue("a", head, secs as u64).await.expect("issued");
    }
    let found = async |head: &str| store.grant(&hash(head)).await.expect("readable").is_some();
    assert!(!found("a1").await, "the oldest is ended");
    for head in ["a2", "a3", "e0", "d0"] {
        assert!(found(head).await, "{head}");
    }
    assert_eq!(all(&*store).await, [publisher("d0")]);
    assert!(matches!(issue("nobody", "f0", 0).await, Err(StoreError::Conflict)));
    assert!(!found("f0").await, "nothing of it was done");
}

pub(super) async fn a_removed_client_takes_its_tokens_along(backend: impl Backend) {
    let store = backend.open().await;
    for (id, head) in [("a", "a1"), ("b", "b2")] {
        store.create_client(client(id)).await.expect("kept");
        store.issue_grant(&client_id(id), receiver(head), 9).await.expect("issued");
    }
    assert!(store.delete_client(&client_id("a")).await.expect("removed"));
    assert!(!store.delete_client(&client_id("a")).await.expect("asked"));
    assert_eq!(store.grant(&hash("a1")).await.expect("readable"), None);
    assert_eq!(store.grant(&hash("b2")).await.expect("readable"), Some(receiver("b2")));
    assert_eq!(store.clients().await.expect("readable"), [client("b")]);
}

pub(super) async fn the_latest_use_of_a_credential_stays_and_goes_with_it(backend: impl Backend) {
    let store = backend.open().await;
    store.put_grant(receiver("a1")).await.expect("kept");
    store.put_grant(publisher("b2")).await.expect("kept");
    store.create_client(client("a")).await.expect("kept");
    let (token, client) = (receiver("a1").credential(), Credential::Client(client_id("a")));
    let unknown = Credential::Client(client_id("nobody"));
    let external = Credential::ExternalClient("a".into());
    let record = async |credential: &Credential, secs| {
        let uses = vec![(credential.clone(), later(secs))];
        store.record_last_uses(uses).await.expect("recorded");
    };
    let last =
        async |credential: &Credential| store.last_uses().await.expect("readable").of(credential);
    for (credential, secs) in [(&token, 1), (&client, 2), (&token, 5), (&token, 3)] {
        record(credential, secs).await;
    }
    for credential in [&unknown, &external] {
        record(credential, 4).await;
        assert_eq!(last(credential).await, None, "{credential}");
    }
    assert_eq!((last(&token).await, last(&client).await), (Some(later(5)), Some(later(2))));
    assert_eq!(last(&publisher("b2").credential()).await, None);

    store.revoke_grant(&hash("a1")).await.expect("revoked");
    store.delete_client(&client_id("a")).await.expect("removed");
    assert_eq!((last(&token).await, last(&client).await), (None, None));
    store.put_grant(receiver("a1")).await.expect("kept");
    assert_eq!(last(&token).await, None, "a new token does not inherit it");
}
