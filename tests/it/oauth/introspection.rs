//! Tokens about which the authorization server is asked (RFC 7662).

use std::time::Duration;

use hyper::header::RETRY_AFTER;
use serde_json::{Value, json};
use ssfd::{
    auth::{Pattern, settings::OauthSettings},
    domain::grant::Scope,
};

use super::keys::assert_unavailable;
use crate::{
    harness::{
        authorization_server::{
            AuthorizationServer, CLIENT, active, active_with, asking, assert_token_refused,
            introspecting, json_reply,
        },
        daemon::{Daemon, rename_provider},
        eventually,
        http_client::get,
    },
    scripted_server::{Reply, Seen},
};

fn asked_each_time(settings: &mut OauthSettings) {
    settings.introspection.cache_for = Duration::ZERO;
}

/// AUTH-03.
#[actix_web::test]
async fn a_revoked_token_is_noticed() {
    let (daemon, server, _folder) = asking(json_reply(&active()), asked_each_time).await;
    daemon.list_with("opaque").await.expect(200);
    let user_agent = concat!("ssfd/", env!("CARGO_PKG_VERSION"));
    assert_eq!(server.seen()[0].headers["user-agent"], user_agent);
    server.answer(json_reply(&json!({"active": false})));
    assert_token_refused(&daemon.list_with("opaque").await, "not active");
}

/// An answer for another Transmitter or about another kind of token opens nothing.
#[actix_web::test]
async fn an_introspection_answer_follows_the_rules_of_a_token() {
    let (daemon, server, _folder) = asking(json_reply(&active()), asked_each_time).await;
    for (answer, why) in [
        (json!({}), "not active"),
        (active_with("active", "true".into()), "not active"),
        (active_with("aud", "https://other.example".into()), "`aud`"),
        (active_with("aud", Value::Null), "`aud`"),
        (active_with("iss", "https://other.example".into()), "`iss`"),
        (active_with("exp", 1.into()), "has expired"),
        (active_with("client_id", Value::Null), "no client"),
        (active_with("cnf", json!({})), "`cnf`"),
        (active_with("token_use", "refresh_token".into()), "`token_use`"),
        (active_with("token_type", "refresh_token".into()), "`token_type`"),
        (active_with("typ", "Refresh".into()), "`typ`"),
    ] {
        server.answer(json_reply(&answer));
        assert_token_refused(&daemon.list_with("opaque").await, why);
    }
    server.answer(json_reply(&active_with("client_id", "stranger".into())));
    daemon.list_with("opaque").await.expect(403);
    server.answer(json_reply(&active_with("scope", "openid".into())));
    daemon.list_with("opaque").await.expect(403);
}

/// Tokens of this daemon are never sent to the authorization server.
#[actix_web::test]
async fn the_server_is_not_asked_about_tokens_of_this_daemon() {
    let (daemon, server, _folder) = asking(json_reply(&active()), |_| {}).await;
    let token = daemon.receiver_token("rx", &[Scope::Read]).await;
    daemon.list_with(&token).await.expect(200);
    daemon.list_with("ssfd_unknown").await.expect(401);
    assert!(server.seen().is_empty());
}

/// Members that servers write in several ways, or leave out by writing `null`.
#[actix_web::test]
async fn an_answer_may_have_its_scopes_and_its_absent_members_in_several_forms() {
    let (daemon, server, _folder) = asking(json_reply(&active()), asked_each_time).await;
    for (member, value) in [
        ("scope", json!(["openid", "ssf.manage"])),
        ("token_type", json!("bearer")),
        ("token_use", json!("access_token")),
        ("cnf", Value::Null),
        ("nbf", Value::Null),
        ("exp", Value::Null),
        ("iss", Value::Null),
        ("events", Value::Null),
    ] {
        server.answer(json_reply(&active_with(member, value)));
        daemon.list_with("opaque").await.expect(200);
    }
    let mut scp = active_with("scope", Value::Null);
    scp["scp"] = json!(["ssf.manage"]);
    server.answer(json_reply(&scp));
    daemon.list_with("opaque").await.expect(200);
    server.answer(json_reply(&active_with("scope", Value::Null)));
    daemon.list_with("opaque").await.expect(403);
}

#[actix_web::test]
async fn an_answer_without_an_audience_is_accepted_by_setting() {
    let without = active_with("aud", Value::Null);
    let (daemon, server, _folder) = asking(json_reply(&without), |settings| {
        asked_each_time(settings);
        settings.introspection.require_audience = false;
    })
    .await;
    daemon.list_with("opaque").await.expect(200);
    server.answer(json_reply(&active_with("aud", "https://other.example".into())));
    assert_token_refused(&daemon.list_with("opaque").await, "`aud`");
}

/// A client that may also sign people in. Keycloak tells the two by `username` alone.
#[actix_web::test]
async fn a_persons_token_of_a_listed_client_is_refused() {
    let pattern = |text: &str| Pattern::try_from(text.to_owned()).expect("not empty");
    let require = |server: bool| {
        move |settings: &mut OauthSettings| {
            asked_each_time(settings);
            let client = &mut settings.clients.get_mut(CLIENT).expect("it is listed").require;
            let required = if server { &mut settings.require } else { client };
            required.insert("username".into(), pattern("service-account-*"));
        }
    };
    for server in [true, false] {
        let (daemon, server, _folder) = asking(json_reply(&active()), require(server)).await;
        for username in [Value::Null, "kim".into(), "kim-service-account-".into()] {
            server.answer(json_reply(&active_with("username", username)));
            assert_token_refused(&daemon.list_with("opaque").await, "a person's token");
        }
        server.answer(json_reply(&active_with("username", "service-account-acme".into())));
        daemon.list_with("opaque").await.expect(200);
    }
}

/// Keycloak says so of every token unless the client that asks is in `aud` too.
#[actix_web::test]
async fn the_refusal_of_an_inactive_token_names_the_second_audience() {
    let (daemon, _server, _folder) = asking(json_reply(&json!({"active": false})), |_| {}).await;
    let answer = daemon.list_with("opaque").await;
    assert_token_refused(&answer, "`aud` too");
    assert!(answer.text().contains("introspection.client_id"), "{}", answer.text());
}

/// Our own credentials, URL or trusted roots are wrong. That is no fault of the Receiver.
#[actix_web::test]
async fn a_server_that_does_not_answer_us_makes_no_token_invalid() {
    for (status, label) in
        [(401, "status_401"), (403, "status_403"), (404, "status_404"), (500, "status_other")]
    {
        let name = format!("introspection-{status}");
        let server = AuthorizationServer::answering(Reply::status(status)).await;
        let (daemon, _folder) = introspecting_as(&name, &server, |_| {}).await;
        for _ in 0..3 {
            assert_unavailable(&daemon.list_with("opaque").await);
        }
        assert_counted(&daemon, &name, label).await;
    }
    let server = AuthorizationServer::answering(json_reply(&active())).await;
    let distrusting = |settings: &mut OauthSettings| settings.trusted_roots = None;
    let (daemon, _folder) = introspecting_as("distrusted", &server, distrusting).await;
    assert_unavailable(&daemon.list_with("opaque").await);
    assert_counted(&daemon, "distrusted", "untrusted").await;
    assert!(server.seen().is_empty());
}

/// The metric counts the answers of the server, and has all its series from the start.
async fn assert_counted(daemon: &Daemon, provider: &str, answer: &str) {
    let metrics = get(&daemon.internal_url("/metrics")).send().await.expect(200).text();
    let series = |answer: &str| {
        format!(
            "ssfd_authorization_server_answers_total{{provider=\"{provider}\",\
             request=\"introspection\",answer=\"{answer}\"}} "
        )
    };
    let line = metrics.lines().find(|line| line.starts_with(&series(answer)));
    assert!(!line.expect("a series").ends_with(" 0"), "{line:?}");
    let good = series("ok") + "0";
    assert!(metrics.lines().any(|line| line == good), "no {good}");
}

/// Starts a daemon whose only provider has this name, so that its metrics count this test alone.
async fn introspecting_as(
    name: &str,
    server: &AuthorizationServer,
    change: impl FnOnce(&mut OauthSettings),
) -> (Daemon, tempfile::TempDir) {
    let (mut daemon, folder) = introspecting(server, |_, settings| change(settings)).await;
    daemon.stop().await;
    rename_provider(daemon.config(), name);
    daemon.start_again().await;
    (daemon, folder)
}

/// A stranger invents tokens without a pause, each of them new, from the very address of the Receiver.
#[actix_web::test]
async fn invented_tokens_do_not_keep_good_ones_from_being_judged() {
    let server = AuthorizationServer::scripted(|_, seen| {
        let good = String::from_utf8_lossy(&seen.body).contains("token=good");
        json_reply(&if good { active() } else { json!({"active": false}) })
    })
    .await;
    let (daemon, _folder) = introspecting(&server, |config, settings| {
        config.public.rates.refused_per_second_max = 1;
        asked_each_time(settings);
    })
    .await;
    daemon.list_with("good-before").await.expect(200);
    let flood = async {
        let (mut refused, mut limited) = (0, 0);
        // The allowance of a second may be used up by the newcomer, so the flood goes on until it had one.
        for n in 0.. {
            if 100 <= n && 0 < refused {
                break;
            }
            let answer = daemon.list_with(&format!("invented-{n}")).await;
            match answer.status.as_u16() {
                401 => refused += 1,
                429 => {
                    limited += 1;
                    let wait: u64 = answer.header(RETRY_AFTER).parse().expect("seconds");
                    assert!(1 <= wait, "{wait}");
                }
                status => panic!("{status}: {}", answer.text()),
            }
            // A token that was good is asked about at once, whatever else is shown.
            daemon.list_with("good-before").await.expect(200);
        }
        assert!(0 < limited, "none of {refused} invented tokens had to wait");
        refused
    };
    // A new token must wait at first, and is then asked about before those that are invented.
    let newcomer = eventually("the new token is judged", async || {
        let answer = daemon.list_with("good-newcomer").await;
        assert!([200, 429].contains(&answer.status.as_u16()), "{}", answer.text());
        answer.status == 200
    });
    let (refused, ()) = tokio::join!(flood, newcomer);
    // The server is asked about no token that is answered 429.
    let invented = |seen: &&Seen| String::from_utf8_lossy(&seen.body).contains("invented");
    assert_eq!(server.seen().iter().filter(invented).count(), refused);
}
