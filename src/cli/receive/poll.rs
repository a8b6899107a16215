//! A poller (RFC 8936 §2).

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};
use url::Url;

use super::{
    inspect::{Arrival, Inspector},
    received::{Method, Received, Rejection},
    server::asked_to_stop,
};
use crate::{
    cli::http::{HttpClient, HttpError},
    domain::{secret::Secret, set_error::SetError},
    telemetry::causes::with_causes,
};

/// How long a long poll may take. Transmitters hold one for minutes.
const POLL_TIMEOUT: Duration = Duration::from_secs(330);
/// The wait after an answer without SETs, for a Transmitter that does not hold long polls.
const EMPTY_PAUSE: Duration = Duration::from_millis(100);
/// The wait after a poll that failed doubles between these two.
const RETRY_FLOOR: Duration = Duration::from_millis(500);
const RETRY_CEILING: Duration = Duration::from_secs(30);
/// How long the last acknowledgements may take when the poller stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// What a poller is to do.
pub struct PollOptions {
    pub url: Url,
    /// An access token for `Authorization: Bearer` (RFC 6750 §2.1).
    pub token: Option<Secret>,
    /// `maxEvents`: the most SETs in one answer.
    pub events_max: Option<usize>,
    pub http: HttpClient,
    pub inspector: Arc<Inspector>,
    /// Gets all that arrives, before it is acknowledged. It is closed when polling ends.
    pub received: mpsc::Sender<Received>,
}

/// Polls one stream: acknowledges what is verified, reports what is not. It ends when it is
/// dropped.
pub struct PollReceiver {
    stopping: watch::Sender<bool>,
    polling: JoinHandle<Result<(), PollError>>,
}

/// Why polling ended though nobody stopped it.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// Polling again would not help.
    #[error("{url} answered with status {status}")]
    Refused { url: Url, status: StatusCode },
    #[error("{0} answered with something else than SETs")]
    Unreadable(Url, #[source] serde_json::Error),
    #[error("no request can be made")]
    Request(#[from] hyper::http::Error),
}

/// What the Transmitter will be told with the next poll.
#[derive(Default)]
struct Settled {
    acks: Vec<String>,
    errors: BTreeMap<String, SetError>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(deserialize_with = "in_order")]
    sets: Vec<(String, String)>,
}

impl PollReceiver {
    /// Spawns the poller.
    pub fn start(options: PollOptions) -> Self {
        let (stopping, stopped) = watch::channel(false);
        Self { stopping, polling: tokio::spawn(poll(options, stopped)) }
    }

    /// Ends polling, once what has arrived is acknowledged. Says why it had ended before.
    pub async fn stop(mut self) -> Result<(), PollError> {
        self.stopping.send_replace(true);
        (&mut self.polling).await.expect("the poller does not panic and is not aborted yet")
    }
}

impl Drop for PollReceiver {
    fn drop(&mut self) {
        self.polling.abort();
    }
}

async fn poll(options: PollOptions, mut stopped: watch::Receiver<bool>) -> Result<(), PollError> {
    let mut settled = Settled::default();
    let mut retry = RETRY_FLOOR;
    loop {
        let request = settled.request(&options, options.events_max, false)?;
        let wait = tokio::select! {
            biased;
            () = asked_to_stop(&mut stopped) => break,
            answer = options.http.send(&options.url, request, POLL_TIMEOUT) => {
                if let Some(answer) = read(&options.url, answer)? {
                    // It means that the request was processed, with all that it settled.
                    settled = Settled::default();
                    retry = RETRY_FLOOR;
                    let empty = answer.sets.is_empty();
                    take(&options, answer, &mut settled).await;
                    if empty { EMPTY_PAUSE } else { Duration::ZERO }
                } else {
                    let wait = retry;
                    retry = (retry * 2).min(RETRY_CEILING);
                    wait
                }
            }
        };
        tokio::select! {
            biased;
            () = asked_to_stop(&mut stopped) => break,
            () = sleep(wait) => {}
        }
    }
    if !settled.is_empty() {
        let request = settled.request(&options, Some(0), true)?;
        read(&options.url, options.http.send(&options.url, request, STOP_GRACE).await)?;
    }
    Ok(())
}

/// `None` where another try may help.
fn read(
    url: &Url,
    answer: Result<(StatusCode, Bytes), HttpError>,
) -> Result<Option<Answer>, PollError> {
    match answer {
        Ok((StatusCode::OK, body)) => {
            let answer = serde_json::from_slice(&body);
            answer.map(Some).map_err(|error| PollError::Unreadable(url.clone(), error))
        }
        Ok((status, _)) => {
            let transient = status.is_server_error()
                || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
            if !transient {
                return Err(PollError::Refused { url: url.clone(), status });
            }
            tracing::warn!(%url, %status, "a poll failed");
            Ok(None)
        }
        Err(error) => {
            tracing::warn!(error = with_causes(&error), "a poll failed");
            Ok(None)
        }
    }
}

async fn take(options: &PollOptions, answer: Answer, settled: &mut Settled) {
    for (jti, jws) in answer.sets {
        let arrival = Arrival {
            method: Method::Poll,
            endpoint: options.url.as_str(),
            jws: &jws,
            expected_jti: Some(&jti),
            misbehaviour: None,
        };
        let received = options.inspector.inspect(arrival).await;
        match &received.verified {
            Ok(_) => settled.acks.push(jti),
            Err(Rejection::Refused(error)) => {
                settled.errors.insert(jti, error.clone());
            }
            // It will be handed out again.
            Err(Rejection::NoKeys(_)) => {}
        }
        // Nobody listens any more: that is no reason not to acknowledge a SET.
        let _listener_gone = options.received.send(received).await.is_err();
    }
}

impl Settled {
    fn is_empty(&self) -> bool {
        self.acks.is_empty() && self.errors.is_empty()
    }

    /// The request of RFC 8936 §2.2.
    fn request(
        &self,
        options: &PollOptions,
        events_max: Option<usize>,
        return_immediately: bool,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut body = json!({"returnImmediately": return_immediately});
        if let Some(events_max) = events_max {
            body["maxEvents"] = json!(events_max);
        }
        if !self.acks.is_empty() {
            body["ack"] = json!(self.acks);
        }
        let mut request = Request::post(options.url.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json");
        if !self.errors.is_empty() {
            // The language of the descriptions (RFC 8936 §2.6).
            request = request.header(header::CONTENT_LANGUAGE, "en");
            let error =
                |error: &SetError| json!({"err": error.err, "description": error.description});
            let errors = self.errors.iter().map(|(jti, e)| (jti.clone(), error(e)));
            body["setErrs"] = Value::Object(errors.collect());
        }
        if let Some(token) = &options.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        request.body(Full::from(body.to_string()))
    }
}

/// The members of a JSON object in the order they stand in, which is the Transmitter's.
fn in_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct InOrder;

    impl<'de> Visitor<'de> for InOrder {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of SETs by their `jti`")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    deserializer.deserialize_map(InOrder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_keep_the_order_they_are_handed_out_in() {
        let answer: Answer =
            serde_json::from_str(r#"{"sets":{"b2":"x","a1":"y","c3":"z"}}"#).expect("an answer");
        let order: Vec<_> = answer.sets.iter().map(|(jti, _)| jti.as_str()).collect();
        assert_eq!(order, ["b2", "a1", "c3"]);
    }
}
