//! The output of `ssfd demo --stay`: addresses, tokens and commands to try by hand.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{receiver_client::DemoStream, receivers::ReceiverStreams, setup::Setup};
use crate::domain::{
    metadata::{WELL_KNOWN, resource},
    secret::Secret,
    stream::METHOD_POLL,
};

/// Addresses and commands that work as they are. The tokens are printed, because they give access
/// to nothing else and end with the demo.
pub(super) struct Instructions {
    places: Vec<(&'static str, String)>,
    commands: Vec<(&'static str, String)>,
}

impl Instructions {
    pub(super) fn new(setup: &Setup, streams: &ReceiverStreams) -> Self {
        let tokens = &setup.tokens;
        let places = vec![
            ("issuer", setup.issuer.to_string()),
            ("internal listener", setup.daemon.internal.to_string()),
            ("trusted roots", setup.roots.display().to_string()),
            ("push stream", streams.push.stream_id.clone()),
            ("poll stream", streams.poll.stream_id.clone()),
            ("poll endpoint", streams.poll.delivery.endpoint_url.clone()),
            ("push Receiver's token", tokens.push_receiver.expose().to_owned()),
            ("poll Receiver's token", tokens.poll_receiver.expose().to_owned()),
            ("publisher's token", tokens.publisher.expose().to_owned()),
        ];
        Self { places, commands: commands(setup, &streams.poll) }
    }

    pub(super) fn to_json(&self) -> Value {
        let object = |pairs: &[(&str, String)]| -> Map<String, Value> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect()
        };
        json!({"places": object(&self.places), "commands": object(&self.commands)})
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Everything keeps running until Ctrl-C and is removed then.\n")?;
        for (name, value) in &self.places {
            writeln!(f, "  {name:<21}  {value}")?;
        }
        writeln!(
            f,
            "\nThe push Receiver goes on printing what arrives. The poll stream is free to be polled by hand."
        )?;
        for (purpose, command) in &self.commands {
            writeln!(f, "\n# {purpose}\n{command}")?;
        }
        Ok(())
    }
}

/// An event to publish by hand.
const EVENT: &str = r#"{"type":"caep:session-revoked","sub_id":{"format":"email","email":"kim@example.com"},"event":{"initiating_entity":"admin","reason_admin":{"en":"tried by hand"}}}"#;

fn commands(setup: &Setup, stream: &DemoStream) -> Vec<(&'static str, String)> {
    let Setup { issuer, roots, tokens, daemon, .. } = setup;
    let (streams, status, verify) =
        (issuer.url(resource::STREAMS), issuer.url(resource::STATUS), issuer.url(resource::VERIFY));
    let id = &stream.stream_id;
    let public = |arguments: &str, url: &str| {
        format!(
            "curl -sS --cacert {} {arguments}{}",
            quoted(&roots.display().to_string()),
            quoted(url)
        )
    };
    let receiver = |arguments: &str, url: &str| {
        public(&format!("{}{arguments}", bearer(&tokens.poll_receiver)), url)
    };
    let change = |status: &str| json!({"stream_id": id, "status": status});
    let poll_stream = json!({
        "delivery": {"method": METHOD_POLL},
        "events_requested": ["https://schemas.openid.net/secevent/caep/event-type/session-revoked"],
    });
    let internal = &daemon.internal;
    let mut commands = vec![
        ("read the metadata", public("", &issuer.url(&format!("/.well-known/{WELL_KNOWN}")))),
        ("read the public keys", public("", &issuer.url(resource::JWKS))),
        (
            "publish an event over HTTP",
            format!(
                "curl -sS {}{}{}",
                bearer(&tokens.publisher),
                data(EVENT),
                quoted(&format!("{internal}events"))
            ),
        ),
    ];
    if let Some(redis) = &setup.redis
        && let Some(socket) = redis.socket()
    {
        let socket = quoted(&socket.display().to_string());
        let command =
            format!("redis-cli -s {socket} XADD {} '*' event {}", redis.key(), quoted(EVENT));
        commands.push(("publish an event through Redis", command));
    }
    let poll = json!({"returnImmediately": true});
    commands.extend([
        ("poll the poll stream", receiver(&data(poll), &stream.delivery.endpoint_url)),
        ("list the poll Receiver's streams", receiver("", &streams)),
        ("create another poll stream", receiver(&data(poll_stream), &streams)),
        ("pause the poll stream", receiver(&data(change("paused")), &status)),
        ("enable the poll stream again", receiver(&data(change("enabled")), &status)),
        (
            "request a verification SET, which the next poll returns",
            receiver(
                &format!("-i {}", data(json!({"stream_id": id, "state": "by hand"}))),
                &verify,
            ),
        ),
        ("delete the poll stream", receiver("-i -X DELETE ", &format!("{streams}?stream_id={id}"))),
        ("read the metrics", format!("curl -sS {}", quoted(&format!("{internal}metrics")))),
    ]);
    commands
}

fn bearer(token: &Secret) -> String {
    format!("-H 'Authorization: Bearer {}' ", token.expose())
}

fn data(json: impl fmt::Display) -> String {
    format!("-H 'Content-Type: application/json' -d {} ", quoted(&json.to_string()))
}

/// Quotes a text as one word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_one_shell_word() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("Kim's"), r"'Kim'\''s'");
    }
}
