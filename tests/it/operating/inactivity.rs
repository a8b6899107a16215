//! Streams whose Receivers are not active (CFG-25, SSF §8.1.1).

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use ssfd::{clock, config::Config, domain::time::Timestamp, store::ActivityStore as _};

use crate::harness::{
    eventually,
    http_client::{Call, get},
    receiver::{Receiver, claims},
    setup::Setup,
};

/// Sets this `inactivity_timeout`, and a short interval between two checks.
pub(crate) fn after(timeout: Duration) -> impl FnOnce(&mut Config) {
    move |config| {
        config.process.activity_interval = Duration::from_millis(20);
        let provider = config.providers.values_mut().next().expect("a provider");
        provider.inactivity_timeout = timeout;
    }
}

impl Setup {
    pub(crate) async fn is_paused(&self) -> bool {
        let stream = self.shown().await;
        if stream["status"] == "enabled" {
            return false;
        }
        let reason = stream["reason"].as_str().expect("a reason");
        assert!(reason.contains("inactivity_timeout"), "{reason}");
        stream["status"] == "paused"
    }

    pub(crate) async fn is_paused_eventually(&self) {
        eventually("it is paused", async || self.is_paused().await).await;
    }

    /// Returns the stream's last activity as the store has it.
    pub(crate) async fn recorded(&self) -> Option<Timestamp> {
        let record = self.daemon.store().activity().await.expect("the store answers");
        let own = record.last.into_iter().find(|(id, _)| id.as_str() == self.stream);
        own.map(|(_, at)| at)
    }

    pub(crate) async fn calls(&self, method: &str, path: &str, body: &Value) {
        let url = self.daemon.provider_url(self.daemon.provider(), path);
        let method = method.parse().expect("a method");
        let answer = Call::new(method, &url).bearer(&self.token).json(body).send().await;
        assert!(answer.status.is_success(), "{}", answer.text());
    }
}

#[actix_web::test]
async fn a_poll_stream_that_is_not_polled_is_paused_and_says_so() {
    let setup = Setup::polling_with(after(Duration::from_secs(1))).await;
    setup.is_paused_eventually().await;
    let answer = setup.poll(json!({})).await.expect(200).json();
    let sets = answer["sets"].as_object().expect("SETs");
    let said = claims(sets.values().next().expect("one").as_str().expect("a SET"));
    let reason = setup.shown().await["reason"].clone();
    setup.assert_announced(&said, "paused", reason.as_str().expect("a reason"));
    // Once the stream is enabled again, its time begins anew.
    setup.set_status("enabled", "asked for on the telephone").await;
    setup.is_paused_eventually().await;
}

/// The restart shows that the activity is durable.
#[actix_web::test]
async fn a_push_that_the_receiver_accepts_is_activity() {
    let receiver = Receiver::accepting().await;
    let mut setup = Setup::pushing_with(&receiver, after(Duration::from_hours(1))).await;
    let noticed = async |since| setup.recorded().await.is_some_and(|at| since <= at);
    let before = clock::now();
    setup.publish(&["s-1"]).await;
    eventually("it is recorded", async || noticed(before).await).await;
    let before = clock::now();
    setup.publish(&["s-2"]).await;
    setup.settled().await;
    setup.daemon.restart().await;
    assert!(setup.recorded().await.is_some_and(|at| before <= at));
}

#[actix_web::test]
async fn a_push_stream_that_nobody_manages_is_paused_and_says_so() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_with(&receiver, after(Duration::from_secs(1))).await;
    setup.is_paused_eventually().await;
    let said = loop {
        let claims = receiver.next().await.claims();
        if claims["sub_id"]["id"] == setup.stream {
            break claims;
        }
    };
    let reason = setup.shown().await["reason"].clone();
    setup.assert_announced(&said, "paused", reason.as_str().expect("a reason"));
}

#[actix_web::test]
async fn a_receiver_is_shown_the_inactivity_timeout() {
    for (timeout, shown) in [(Duration::ZERO, Value::Null), (Duration::from_mins(5), json!(300))] {
        let setup = Setup::polling_with(after(timeout)).await;
        let path = format!("/ssf/streams?stream_id={}", setup.stream);
        let url = setup.daemon.provider_url(setup.daemon.provider(), &path);
        let stream = get(&url).bearer(&setup.token).send().await.expect(200).json();
        assert_eq!(stream["inactivity_timeout"], shown);
        // The Receiver may only repeat the value.
        if let Some(members) = stream.get("inactivity_timeout") {
            setup.update(json!({"inactivity_timeout": members})).await;
            let other = json!({"stream_id": setup.stream, "inactivity_timeout": 1});
            let call = Call::new(Method::PATCH, &url).bearer(&setup.token).json(&other);
            call.send().await.expect(400);
        }
    }
}
