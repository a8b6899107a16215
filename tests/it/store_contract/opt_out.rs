//! Accounts that opt out of RISC, and in again (RISC-05, RISC §2.8).

use serde_json::{Value, json};
use ssfd::domain::{id::ProviderName, opt_out::OptOut, subject::Subject};

use super::*;

fn acme() -> ProviderName {
    "acme".parse().expect("a valid name")
}

/// An account by some of its identifiers, as in `kim k`.
fn account(identifiers: &str) -> Subject {
    let opaque = |id: &str| json!({"format": "opaque", "id": id});
    let identifiers: Vec<Value> = identifiers.split(' ').map(opaque).collect();
    Subject::try_from(identifiers).expect("valid")
}

/// An event of RISC about an account at a provider, for the stream `st_1`.
fn risc_at(provider: ProviderName, event_type: &str, identifiers: &str, jti: &str) -> Append {
    let event_type = format!("risc:{event_type}").parse().expect("a known type");
    let opt_out = OptOut::of(&event_type, &provider, &account(identifiers));
    Append { provider, opt_out, ..event(vec![set("st_1", jti)]) }
}

fn risc(event_type: &str, identifiers: &str, jti: &str) -> Append {
    risc_at(acme(), event_type, identifiers, jti)
}

fn disabled(identifiers: &str, jti: &str) -> Append {
    risc("account-disabled", identifiers, jti)
}

async fn is_opted_out(store: &dyn Store, provider: &ProviderName, identifiers: &str) -> bool {
    let event_type = "risc:account-disabled".parse().expect("a known type");
    let respecting = OptOut::of(&event_type, provider, &account(identifiers));
    let Some(OptOut::Respected(accounts)) = respecting else { panic!("it respects a choice") };
    store.opted_out(accounts).await.expect("readable")
}

const KEPT: Appended = Appended::OptedOut { streams: 1 };

pub(super) async fn an_account_that_opted_out_gets_no_more_until_it_opts_in(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1")]).await;
    let sent = new(&["st_1"]);
    let batch = vec![
        disabled("kim", "j1"),
        risc("opt-out-initiated", "kim", "j2"),
        disabled("kim", "j3"),
        risc("opt-out-effective", "kim", "j4"),
        disabled("kim", "j5"),
        disabled("lee", "j6"),
        // The type is not one of RISC.
        event(vec![set("st_1", "j7")]),
        // The opt-out was already effective.
        risc("opt-out-cancelled", "kim", "j8"),
        disabled("kim", "j9"),
    ];
    let appended = append(&*store, batch, NOW).await;
    let kept: Vec<_> = appended.iter().map(|one| *one == KEPT).collect();
    assert_eq!(kept, [false, false, false, false, true, false, false, false, true]);
    assert_eq!(appended.iter().filter(|one| **one == sent).count(), 7);

    assert_eq!(append(&*store, vec![disabled("kim", "j10")], NOW).await, [KEPT]);
    let batch = vec![risc("opt-in", "kim", "j11"), disabled("kim", "j12")];
    assert_eq!(append(&*store, batch, NOW).await, [sent.clone(), sent]);
    let pending = pending(&*store, "st_1").await;
    let expected = ["j1", "j2", "j3", "j4", "j6", "j7", "j8", "j11", "j12"];
    assert_eq!(names(&pending), expected);
}

pub(super) async fn an_account_is_known_by_all_of_its_identifiers(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1")]).await;
    let opted_out = async |identifiers: &str| is_opted_out(&*store, &acme(), identifiers).await;
    let choose = async |event_type: &str, identifiers: &str| {
        append(&*store, vec![risc(event_type, identifiers, "j")], NOW).await;
    };
    choose("opt-out-effective", "kim k").await;
    choose("opt-out-effective", "lee").await;
    for known in ["kim", "k", "x k"] {
        assert!(opted_out(known).await, "{known}");
    }
    assert!(!opted_out("x").await);
    // By a further identifier; and said again.
    choose("opt-out-effective", "x k").await;
    choose("opt-out-effective", "kim k").await;
    assert!(opted_out("x").await);
    choose("opt-in", "x").await;
    for known in ["kim", "k", "x"] {
        assert!(!opted_out(known).await, "{known}");
    }
    assert!(opted_out("lee").await);
    // Two accounts turn out to be one.
    choose("opt-out-effective", "kim").await;
    choose("opt-out-effective", "lee kim").await;
    choose("opt-in", "kim").await;
    assert!(!opted_out("lee").await);
}

pub(super) async fn what_a_provider_knows_of_an_account_is_its_own(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1")]).await;
    let globex: ProviderName = "globex".parse().expect("a valid name");
    append(&*store, vec![risc("opt-out-effective", "kim", "j1")], NOW).await;
    assert!(!is_opted_out(&*store, &globex, "kim").await);
    let elsewhere = risc_at(globex.clone(), "opt-in", "kim", "j2");
    append(&*store, vec![elsewhere], NOW).await;
    assert!(is_opted_out(&*store, &acme(), "kim").await);
    let elsewhere = risc_at(globex, "account-disabled", "kim", "j3");
    assert_eq!(append(&*store, vec![elsewhere], NOW).await, [new(&["st_1"])]);
}

pub(super) async fn a_choice_is_as_durable_as_its_batch(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1")]).await;
    let effective =
        || Append { event_id: Some("evt-1".into()), ..risc("opt-out-effective", "kim", "j1") };
    append(&*store, vec![effective()], NOW).await;
    drop(store);
    let store = backend.open().await;
    assert_eq!(append(&*store, vec![disabled("kim", "j2")], NOW).await, [KEPT]);
    // A duplicate changes nothing, neither what it says.
    let batch = vec![risc("opt-in", "kim", "j3"), effective(), disabled("kim", "j4")];
    let appended = append(&*store, batch, NOW).await;
    assert_eq!(appended, [new(&["st_1"]), Appended::Duplicate, new(&["st_1"])]);
}
