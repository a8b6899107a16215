//! Requests whose connection is reset before they are answered.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::harness::{
    daemon::Daemon, eventually, http_client::get, receiver_client::ReceiverClient,
};

/// Sends a request whose write to the store has to wait, and resets the connection meanwhile.
async fn cut_off(client: &ReceiverClient<'_>, method: &str, path: &str, body: &Value) {
    let database = &client.daemon.database();
    let other = rusqlite::Connection::open(database).expect("the store's file");
    other.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    let base = url::Url::parse(&client.daemon.provider_url(client.provider, path)).expect("an URL");
    let address = (base.host_str().expect("a host"), base.port().expect("a port"));
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    let target = &base[url::Position::BeforePath..];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-length: {}\r\n\r\n{body}",
        client.token,
        body.len()
    );
    connection.write_all(request.as_bytes()).await.expect("it reads");
    // The one thread of the listener has most probably come to the request by then.
    for _ in 0..5 {
        get(&client.daemon.provider_url(client.provider, "/jwks.json")).send().await.expect(200);
    }
    connection.set_zero_linger().expect("a socket");
    drop(connection);
    for _ in 0..5 {
        get(&client.daemon.provider_url(client.provider, "/jwks.json")).send().await.expect(200);
    }
    other.execute_batch("ROLLBACK").expect("the transaction is open");
    // Writes are made in order, so none from before is left once this one is made.
    client.daemon.publisher_token().await;
}

/// P5 of the design: what the store has, this node shows and does.
#[actix_web::test]
async fn a_change_whose_connection_is_reset_is_made_as_a_whole_or_not_at_all() {
    let daemon = Daemon::with(|config| {
        config.store.sqlite.busy_timeout = Duration::from_mins(1);
    })
    .await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    let stream_id = id.parse().expect("the daemon made this id");
    let stored = async || daemon.store().stream(&stream_id).await.expect("the store answers");

    for change in 0..5 {
        let description = format!("change {change}");
        let body = json!({"stream_id": id, "description": description});
        cut_off(&client, "PATCH", "/ssf/streams", &body).await;
        let body =
            json!({"stream_id": id, "status": if change % 2 == 0 { "paused" } else { "enabled" }});
        cut_off(&client, "POST", "/ssf/status", &body).await;
        eventually("the daemon shows what the store has", async || {
            let stored = stored().await.expect("the stream is there");
            let shown = client.read(&id).await;
            let status = client.status(&id).await;
            shown["description"].as_str() == stored.description.as_deref()
                && status["status"] == stored.status.as_str()
        })
        .await;
    }
    cut_off(&client, "DELETE", &format!("/ssf/streams?stream_id={id}"), &Value::Null).await;
    eventually("it is deleted here and there, or not at all", async || {
        let shown = client.get(&format!("/ssf/streams?stream_id={id}")).await.status == 200;
        shown == stored().await.is_some()
    })
    .await;
    cut_off(&client, "POST", "/ssf/streams", &json!({"description": "new"})).await;
    eventually("it is created here and there, or not at all", async || {
        let shown = client.list().await.as_array().expect("a list").len();
        shown == daemon.store().streams().await.expect("the store answers").len()
    })
    .await;
}
