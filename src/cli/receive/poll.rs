//! A Receiver that polls a stream (RFC 8936 §2).

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
    inspect::{IncomingSet, Inspector},
    received::{ReceiveMethod, Received, Rejection},
    server::stop_requested,
};
use crate::{
    cli::http::{HttpClient, HttpError},
    domain::{secret::Secret, set_error::SetError},
    telemetry::causes::with_causes,
};

/// The longest time that a poll may take. Some Transmitters hold long polls for minutes.
const POLL_TIMEOUT: Duration = Duration::from_secs(330);
/// The wait after an answer without SETs, because a Transmitter may not support long polls.
const EMPTY_PAUSE: Duration = Duration::from_millis(100);
/// The bounds of the wait after a failed poll, which doubles with each failure.
const RETRY_FLOOR: Duration = Duration::from_millis(500);
const RETRY_CEILING: Duration = Duration::from_secs(30);
/// The longest time for the last acknowledgements when the poller stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The options of a poller.
pub struct PollOptions {
    pub url: Url,
    /// An access token for `Authorization: Bearer` (RFC 6750 §2.1).
    pub token: Option<Secret>,
    /// `maxEvents`: the most SETs in one answer.
    pub events_max: Option<usize>,
    pub http: HttpClient,
    pub inspector: Arc<Inspector>,
    /// Gets each SET that arrives, before it is acknowledged. Closed when polling ends.
    pub received: mpsc::Sender<Received>,
}

/// Polls one stream. Acknowledges verified SETs and reports the others as errors. Ends when it is
/// dropped.
pub struct PollReceiver {
    stopping: watch::Sender<bool>,
    polling: JoinHandle<Result<(), PollError>>,
}

/// Why polling ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// A status that another poll would not change.
    #[error(transparent)]
    Refused(HttpError),
    #[error("the answer of {0} does not contain `sets`")]
    Unreadable(Url, #[source] serde_json::Error),
    #[error("the request cannot be built")]
    Request(#[from] hyper::http::Error),
}

/// The acknowledgements and errors for the next poll.
#[derive(Default)]
struct Acknowledgements {
    acks: Vec<String>,
    errors: BTreeMap<String, SetError>,
}

#[derive(Deserialize)]
struct PollResponse {
    #[serde(deserialize_with = "in_order")]
    sets: Vec<(String, String)>,
}

impl PollReceiver {
    /// Spawns the poller.
    pub fn start(options: PollOptions) -> Self {
        let (stopping, stopped) = watch::channel(false);
        Self { stopping, polling: tokio::spawn(poll(options, stopped)) }
    }

    /// Stops polling once all SETs that arrived are acknowledged. Returns the error if polling had
    /// ended by itself.
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
    let mut acknowledgements = Acknowledgements::default();
    let mut retry = RETRY_FLOOR;
    loop {
        let request = acknowledgements.request(&options, options.events_max, false)?;
        let wait = tokio::select! {
            biased;
            () = stop_requested(&mut stopped) => break,
            answer = options.http.send(&options.url, request, POLL_TIMEOUT) => {
                if let Some(answer) = read(&options.url, answer)? {
                    // The Transmitter has processed the acknowledgements of the request.
                    acknowledgements = Acknowledgements::default();
                    retry = RETRY_FLOOR;
                    let empty = answer.sets.is_empty();
                    accept(&options, answer, &mut acknowledgements).await;
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
            () = stop_requested(&mut stopped) => break,
            () = sleep(wait) => {}
        }
    }
    if !acknowledgements.is_empty() {
        let request = acknowledgements.request(&options, Some(0), true)?;
        read(&options.url, options.http.send(&options.url, request, STOP_GRACE).await)?;
    }
    Ok(())
}

/// Reads the answer to a poll. Returns `None` if another try may succeed.
fn read(
    url: &Url,
    answer: Result<(StatusCode, Bytes), HttpError>,
) -> Result<Option<PollResponse>, PollError> {
    match answer {
        Ok((StatusCode::OK, body)) => {
            let answer = serde_json::from_slice(&body);
            answer.map(Some).map_err(|error| PollError::Unreadable(url.clone(), error))
        }
        Ok((status, body)) => {
            let transient = status.is_server_error()
                || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
            if !transient {
                return Err(PollError::Refused(HttpError::refused(url, status, &body)));
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

async fn accept(
    options: &PollOptions,
    answer: PollResponse,
    acknowledgements: &mut Acknowledgements,
) {
    for (jti, jws) in answer.sets {
        let arrival = IncomingSet {
            method: ReceiveMethod::Poll,
            endpoint: options.url.as_str(),
            jws: &jws,
            expected_jti: Some(&jti),
            misbehaviour: None,
        };
        let received = options.inspector.inspect(arrival).await;
        match &received.verified {
            Ok(_) => acknowledgements.acks.push(jti),
            Err(Rejection::Refused(error)) => {
                acknowledgements.errors.insert(jti, error.clone());
            }
            // Without an acknowledgement, the SET is returned by a later poll.
            Err(Rejection::NoKeys(_)) => {}
        }
        // The SET is acknowledged even if nothing reads the channel any more.
        let _listener_gone = options.received.send(received).await.is_err();
    }
}

impl Acknowledgements {
    fn is_empty(&self) -> bool {
        self.acks.is_empty() && self.errors.is_empty()
    }

    /// Builds the request (RFC 8936 §2.2).
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
            // Errors need the language of their descriptions (RFC 8936 §2.6).
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

/// Reads the members of a JSON object in their order, which is the Transmitter's order of the SETs.
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
    fn sets_keep_the_order_of_the_answer() {
        let answer: PollResponse =
            serde_json::from_str(r#"{"sets":{"b2":"x","a1":"y","c3":"z"}}"#).expect("an answer");
        let order: Vec<_> = answer.sets.iter().map(|(jti, _)| jti.as_str()).collect();
        assert_eq!(order, ["b2", "a1", "c3"]);
    }
}
