//! Publishes events with `POST /events`.

use hyper::StatusCode;
use url::Url;

use super::input::RawEvent;
use crate::{
    cli::http::{HttpClient, HttpError},
    domain::secret::Secret,
    http::events::{Answer, Answers},
};

/// Publishes over HTTP.
pub struct HttpPublisher {
    http: HttpClient,
    url: Url,
    token: Secret,
}

impl HttpPublisher {
    /// `internal` is the URL of the daemon's internal listener.
    pub fn new(http: HttpClient, internal: &Url, token: Secret) -> Self {
        let mut url = internal.clone();
        let below = url.path().trim_end_matches('/').trim_end_matches("/events");
        url.set_path(&format!("{below}/events"));
        Self { http, url, token }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Publishes the events with one request and returns the answer for each. An accepted event is
    /// durable.
    pub async fn publish(&self, events: &[RawEvent]) -> Result<Vec<Answer>, HttpError> {
        let body = serde_json::to_vec(events).expect("JSON values");
        let (status, body) = self.http.post(&self.url, &self.token, body).await?;
        match serde_json::from_slice::<Answers>(&body) {
            Ok(answers) if answers.events.len() == events.len() => Ok(answers.events),
            Err(error) if status == StatusCode::ACCEPTED => {
                Err(HttpError::unreadable(&self.url, error))
            }
            _ => Err(HttpError::refused(&self.url, status, &body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_endpoint_is_appended_to_the_url_of_the_listener() {
        for (internal, url) in [
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090/events"),
            ("http://127.0.0.1:9090/events", "http://127.0.0.1:9090/events"),
            ("https://idp.example/ssf/", "https://idp.example/ssf/events"),
        ] {
            let http = HttpClient::new(None).expect("a client");
            let internal = internal.parse().expect("a URL");
            assert_eq!(HttpPublisher::new(http, &internal, Secret::new("t")).url.as_str(), url);
        }
    }
}
