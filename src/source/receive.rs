//! Answers the requests of a source, each within its time.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    Kind, RETRY_AFTER, Source, SourceError, UnreadableBody,
    conclude::Counts,
    prepare::{Documents, Way, facts},
    rejects::Reject,
    request::{Method, Reply, SourceRequest},
    settings::AnswerBody,
    verify::{Refusal, Scheme, Verified, Verifier},
};
use crate::{
    clock,
    domain::{time::Timestamp, verification::whole_secs},
    telemetry::{causes::with_causes, metrics},
    transmitter::pressure::Taken,
};

/// The values of the label `outcome` of requests.
pub(super) const OUTCOMES: [&str; 9] = [
    "accepted",
    "handshake",
    "unauthorized",
    "malformed",
    "refused",
    "overload",
    "unavailable",
    "late",
    "held_full",
];

impl Source {
    /// Judges a request before its body is read. Returns the answer if the body is of no use.
    pub fn before_body(&self, method: Option<Method>, body_bytes: Option<u64>) -> Option<Reply> {
        let bounds = &self.parts.bounds;
        if self.parts.verifier.is_none() {
            return Some(Reply::empty(404));
        }
        let takes = method.is_some_and(|method| bounds.handshake.takes(method));
        if !takes {
            self.count_request("refused");
            let gets = bounds.handshake.takes(Method::Get);
            let methods = if gets { "GET, POST, PUT" } else { "POST, PUT" };
            return Some(Reply::empty(405).header("allow", methods));
        }
        let bytes_max = bounds.body_bytes_max as u64;
        if body_bytes.is_some_and(|bytes| bytes_max < bytes) {
            self.count_request("refused");
            return Some(Reply::empty(413));
        }
        let overfull =
            self.services.transmitter.pressure().taken(&self.parts.provider.name) != Taken::All;
        // The handshake of Okta is a GET, and adds nothing.
        if overfull && method != Some(Method::Get) {
            return Some(self.not_now("overload", RETRY_AFTER));
        }
        None
    }

    /// Counts a request that was refused while its body was read.
    pub fn body_refused(&self) {
        self.count_request("refused");
    }

    /// Takes in a request and answers it. If that takes longer than `answer_timeout`, the answer is 503, the
    /// work goes on, and the ids of the events make the repeated request a duplicate.
    pub async fn receive(self: &Arc<Self>, request: SourceRequest) -> Reply {
        if let Some(reply) = self.parts.bounds.handshake.answer_to_anybody(&request) {
            self.count_request(if reply.status == 200 { "handshake" } else { "malformed" });
            return reply;
        }
        let Ok(permit) = Arc::clone(&self.in_flight).try_acquire_owned() else {
            return self.not_now("overload", RETRY_AFTER);
        };
        let this = Arc::clone(self);
        let work = tokio::spawn(async move {
            let reply = this.take_in(request, clock::now()).await;
            drop(permit);
            reply
        });
        match timeout(self.parts.bounds.answer_timeout, work).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(panicked)) => {
                tracing::error!(source = self.label(), error = %panicked, "a request failed");
                self.not_now("unavailable", RETRY_AFTER)
            }
            Err(_) => self.not_now("late", RETRY_AFTER),
        }
    }

    async fn take_in(self: &Arc<Self>, request: SourceRequest, now: Timestamp) -> Reply {
        let Some(verifier) = &self.parts.verifier else { return Reply::empty(404) };
        let proved = match verifier.verify(&request, now).await {
            Ok(proved) => proved,
            Err(refusal) => return self.refuse(refusal),
        };
        if self.parts.bounds.handshake.is_verified_handshake(&request) {
            self.count_request("handshake");
            return self.accepted(Counts::default());
        }
        let documents = match self.documents(&request, proved, verifier, now) {
            Ok(documents) => documents,
            Err(why) => return self.malformed(&why, now).await,
        };
        if let Err(refusal) = self.judge_records(&documents, verifier) {
            return self.refuse(refusal);
        }
        // The body is in the documents now.
        drop(request);
        let concluded = async {
            let prepared = self.prepare(documents).await?;
            self.conclude(prepared, Self::drawn, now).await
        };
        match concluded.await {
            Ok(counts) => {
                self.count_request("accepted");
                self.accepted(counts)
            }
            Err(SourceError::HeldFull) => self.not_now("held_full", RETRY_AFTER),
            Err(SourceError::Store(error)) => {
                metrics::store_error("source");
                if self.log.admit("store", clock::instant()).is_some() {
                    let (source, error) = (self.label(), with_causes(&error));
                    tracing::error!(source, error, "the store failed a request of a source");
                }
                self.not_now("unavailable", RETRY_AFTER)
            }
        }
    }

    fn documents(
        &self,
        request: &SourceRequest,
        proved: Verified,
        verifier: &Verifier,
        received: Timestamp,
    ) -> Result<Documents, String> {
        let in_body = matches!(verifier.scheme(), Scheme::Jwt(jwt) if jwt.place.is_in_body());
        let records_max = self.parts.bounds.records_max;
        if let (Kind::Set, Some(claims)) = (self.parts.kind, &proved.claims) {
            self.note_control(claims);
        }
        let parts = self.parts.kind.documents(request, proved, in_body, records_max);
        let parts = parts.map_err(|error| format!("the body {error}"))?;
        let mapping = &self.parts.mapping;
        let records = parts.iter().flatten().map(|document| mapping.split(document).len());
        if records_max < records.sum::<usize>() {
            return Err(format!("the body {}", UnreadableBody::TooMany(records_max)));
        }
        let facts = facts(request, verifier.header());
        Ok(Documents { parts, facts, bytes: request.body.len(), received, way: Way::Sent })
    }

    /// Judges each record, if the sender repeats its credential in each. One bad record refuses the request,
    /// because nothing else in it proves its sender.
    fn judge_records(&self, documents: &Documents, verifier: &Verifier) -> Result<(), Refusal> {
        if !verifier.judges_records() {
            return Ok(());
        }
        let mapping = &self.parts.mapping;
        let mut records = 0;
        for part in &documents.parts {
            let document = part.as_ref().map_err(|_| Refusal::Malformed)?;
            for record in mapping.split(document) {
                verifier.verify_record(record)?;
                records += 1;
            }
        }
        if records == 0 { Err(Refusal::Missing) } else { Ok(()) }
    }

    /// Answers a verified body that cannot be read. Where its sender would repeat it for ever, the answer says
    /// that it was taken in.
    async fn malformed(self: &Arc<Self>, why: &str, now: Timestamp) -> Reply {
        self.count_request("malformed");
        self.count_record("rejected", 1);
        let reject = Reject { why: why.to_owned(), ..Reject::default() };
        if let Err(error) = self.keep_rejects(vec![reject], now).await {
            let (source, error) = (self.label(), with_causes(&error));
            tracing::warn!(source, error, "a body that cannot be read is not kept");
        }
        match self.parts.kind {
            Kind::Native => Reply::empty(self.parts.bounds.malformed_answer),
            kind @ (Kind::LogoutToken | Kind::Set) => kind.refused(Refusal::Malformed),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Reply {
        let (provider, source) = (&self.parts.provider.name, self.parts.name.as_str());
        metrics::source_auth_failures(provider, source, refusal.label(), 1);
        if let Refusal::Unavailable { retry_after } = refusal {
            return self.not_now("unavailable", retry_after);
        }
        self.count_request("unauthorized");
        if let Some(left_out) = self.log.admit(refusal.label(), clock::instant()) {
            let (source, reason) = (self.label(), refusal.to_string());
            tracing::warn!(source, reason, left_out, "a request to a source was refused");
        }
        Reply { is_refusal: true, ..self.parts.kind.refused(refusal) }
    }

    fn accepted(&self, counts: Counts) -> Reply {
        let status = self.parts.bounds.answer;
        match self.parts.bounds.answer_body {
            AnswerBody::None => Reply::empty(status),
            AnswerBody::Counts => {
                let body = serde_json::to_string(&counts).expect("numbers are JSON");
                Reply::with_body(status, "application/json", body)
            }
        }
    }

    /// Answers that the sender should come again.
    fn not_now(&self, outcome: &'static str, wait: Duration) -> Reply {
        self.count_request(outcome);
        Reply::empty(503).header("retry-after", whole_secs(wait).max(1).to_string())
    }

    fn count_request(&self, outcome: &'static str) {
        let (provider, source) = (&self.parts.provider.name, self.parts.name.as_str());
        metrics::source_requests(provider, source, outcome, 1);
    }
}
