//! The setup that most tests of delivery start from.

use serde_json::Value;
use ssfd::{config::Config, delivery::outbox::PendingSet, domain::grant::Scope};

use super::{
    daemon::Daemon,
    eventually,
    http_client::{Answer, get},
    receiver::Receiver,
    receiver_client::ReceiverClient,
    streams::{by_poll, push_to},
    waiting::waiting_sets,
};

/// A daemon with one stream of one Receiver, and the tokens to publish and to manage the stream.
pub(crate) struct Setup {
    pub(crate) daemon: Daemon,
    /// The access token of the Receiver.
    pub(crate) token: String,
    /// The access token of the publisher.
    pub(crate) publisher: String,
    pub(crate) stream: String,
}

impl Setup {
    pub(crate) async fn new(delivery: Value, change: impl FnOnce(&mut Config)) -> Self {
        let daemon = Daemon::with(change).await;
        let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
        let publisher = daemon.publisher_token().await;
        let stream = daemon.create_stream(&token, delivery).await;
        Self { daemon, token, publisher, stream }
    }

    /// Starts a daemon with a push stream to the path `/in` of this Receiver.
    pub(crate) async fn pushing_to(receiver: &Receiver) -> Self {
        Self::pushing_with(receiver, |_| {}).await
    }

    pub(crate) async fn pushing_with(
        receiver: &Receiver,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::new(push_to(&receiver.url("/in")), change).await
    }

    /// Starts a daemon with a poll stream.
    pub(crate) async fn polling() -> Self {
        Self::polling_with(|_| {}).await
    }

    pub(crate) async fn polling_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::new(by_poll(), change).await
    }

    /// Returns a client of the interface with the token of the Receiver.
    pub(crate) fn client(&self) -> ReceiverClient<'_> {
        self.daemon.client_with(self.daemon.provider(), &self.token)
    }

    /// Publishes one event about each subject, in this order.
    pub(crate) async fn publish(&self, subjects: &[&str]) {
        self.daemon.publish_about(&self.publisher, subjects).await;
    }

    pub(crate) async fn update(&self, members: Value) -> Answer {
        self.daemon.update_stream(&self.token, &self.stream, members).await.expect(200)
    }

    pub(crate) async fn change_status(&self, status: &str) {
        self.daemon.change_status(&self.token, &self.stream, status).await.expect(200);
    }

    pub(crate) async fn poll(&self, body: Value) -> Answer {
        self.daemon.poll(&self.token, &self.stream, &body).await
    }

    /// Polls and acknowledges `count` SETs, and returns their claims. Panics if there are more or
    /// fewer.
    pub(crate) async fn take(&self, count: usize) -> Vec<Value> {
        let polled = self.client().polled(&self.stream).await;
        assert_eq!(polled.len(), count, "{polled:?}");
        polled
    }

    /// Returns the unsettled SETs of the stream, control events first.
    pub(crate) async fn waiting(&self) -> Vec<PendingSet> {
        let id = self.stream.parse().expect("the daemon made this id");
        let store = self.daemon.store();
        waiting_sets(store, &id).await
    }

    /// Returns the number of push attempts with this outcome, of all daemons with a provider of the
    /// same name.
    pub(crate) async fn attempts(&self, outcome: &str) -> usize {
        let provider = self.daemon.provider();
        let series =
            format!(r#"ssfd_push_attempts_total{{provider="{provider}",outcome="{outcome}"}}"#);
        let count = self.daemon.metric(&series).await.to_string();
        count.parse().expect("a counter is a whole number")
    }

    /// Returns the status of the stream and its reason.
    pub(crate) async fn status(&self) -> (String, String) {
        let path = format!("/ssf/status?stream_id={}", self.stream);
        let url = self.daemon.provider_url(self.daemon.provider(), &path);
        let answer = get(&url).bearer(&self.token).send().await.expect(200).json();
        let text = |member: &str| answer[member].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    /// Returns once every SET is settled.
    pub(crate) async fn settled(&self) {
        eventually("every SET is settled", async || self.daemon.backlog().await == 0).await;
    }
}
