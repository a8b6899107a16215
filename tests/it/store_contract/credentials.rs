//! Static tokens.

use super::*;
use ssfd::domain::grant::{Grant, Holder, Scope, TokenHash};

fn hash(head: &str) -> TokenHash {
    TokenHash::from_hex(format!("{head:0<64}"))
}

fn receiver(head: &str) -> Grant {
    Grant {
        hash: hash(head),
        holder: Holder::Receiver {
            provider: "acme".parse().expect("valid"),
            receiver: "rx".parse().expect("valid"),
            audience: Audience::from_values(vec!["a".into(), "b".into()]).expect("not empty"),
            scopes: vec![Scope::Read, Scope::Manage],
        },
        created_at: NOW,
        expires_at: Some(later(60)),
    }
}

fn publisher(head: &str) -> Grant {
    let holder = Holder::Publisher { provider: "acme".parse().expect("valid") };
    Grant { hash: hash(head), holder, created_at: later(1), expires_at: None }
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
