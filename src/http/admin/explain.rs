//! Explains what a source makes of a body: the rules, the events, and the streams that would get them.

use actix_web::{HttpResponse, web};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use super::{BodyMembers, answer};
use crate::{
    clock,
    domain::{
        event::Event,
        id::{ProviderName, ReceiverId, SourceName, StreamId},
        judgement::Judged,
        lint::Finding,
        mapping::{Outcome, RuleTrace},
        stream::Delivery,
    },
    http::{api::shape, auth::Operator, body::Body, error::ApiError},
    source::{EmittedResult, Explained, ExplainedResult, SourceSet, TriedBody},
    transmitter::{Transmitter, explain::Explained as ExplainedStream},
};

/// The most records of a body that are explained.
pub const RECORDS_MAX: usize = 100;
/// The largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The results of a body at a source.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SourceExplanation")]
pub struct SourceExplanationView {
    #[schemars(with = "String")]
    pub provider: ProviderName,
    #[schemars(with = "String")]
    pub source: SourceName,
    /// The first records of the body.
    pub records: Vec<ExplainedRecordView>,
    /// All records of the body.
    pub total: usize,
}

/// The results of one record.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExplainedRecord")]
pub struct ExplainedRecordView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_type: Option<String>,
    /// The rules in the order in which they are tried.
    pub rules: Vec<TriedRuleView>,
    pub results: Vec<RecordResultView>,
}

/// A rule, and whether it matched.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TriedRule")]
pub struct TriedRuleView {
    pub rule: String,
    /// `matched`, `failed`, or `not_reached` because an earlier rule matched.
    pub outcome: String,
    /// The path of the first condition that failed, and its test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
}

/// One result of a record.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "result", rename_all = "lowercase")]
#[schemars(rename = "RecordResult")]
pub enum RecordResultView {
    Emitted(Box<EmittedEventView>),
    Dropped {
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        why: String,
    },
    Rejected {
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        why: String,
        alarm: bool,
    },
}

/// An event that a rule makes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EmittedEvent")]
pub struct EmittedEventView {
    pub rule: String,
    /// The event in the form in which a publisher would publish it.
    #[schemars(with = "Map<String, Value>")]
    pub event: Value,
    pub accepted: bool,
    /// Why the event would be rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether the event goes out only if a value has changed. The store is not asked.
    pub gated: bool,
    pub findings: Vec<FindingView>,
    pub streams: Vec<ExplainedStreamView>,
}

/// A deviation of an event from the definition of its type.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EventFinding")]
pub struct FindingView {
    /// `must` or `should`.
    pub severity: String,
    pub member: String,
    pub rule: String,
    pub section: String,
}

/// The fate of an event on one stream.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExplainedStream")]
pub struct ExplainedStreamView {
    #[schemars(with = "shape::StreamIdSchema")]
    pub stream_id: StreamId,
    #[schemars(with = "String")]
    pub receiver: ReceiverId,
    /// `push` or `poll`.
    pub delivery: String,
    /// `sent`, `held` because the stream is paused, or `not_sent`.
    pub fate: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Map<String, Value>>")]
    pub claims: Option<Box<RawValue>>,
}

impl From<RuleTrace> for TriedRuleView {
    fn from(trace: RuleTrace) -> Self {
        let (outcome, path, test) = match trace.outcome {
            Outcome::Matched => ("matched", None, None),
            Outcome::NotReached => ("not_reached", None, None),
            Outcome::Failed { path, test } => ("failed", Some(path), Some(test.to_owned())),
        };
        Self { rule: trace.rule.to_string(), outcome: outcome.to_owned(), path, test }
    }
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        Self {
            severity: finding.severity.as_str().to_owned(),
            member: finding.member.to_owned(),
            rule: finding.rule,
            section: finding.section.to_owned(),
        }
    }
}

impl From<ExplainedStream> for ExplainedStreamView {
    fn from(explained: ExplainedStream) -> Self {
        let ExplainedStream { stream, judged } = explained;
        let (fate, why, claims) = match judged {
            Judged::Sent(claims) => ("sent", None, Some(claims)),
            Judged::Held(claims) => ("held", None, Some(claims)),
            Judged::NotSent(why) => ("not_sent", Some(why.sentence().to_owned()), None),
        };
        Self {
            stream_id: stream.id,
            receiver: stream.receiver,
            delivery: match stream.delivery {
                Delivery::Push(_) => "push".to_owned(),
                Delivery::Poll => "poll".to_owned(),
            },
            fate: fate.to_owned(),
            why,
            claims: claims.map(|claims| RawValue::from_string(claims).expect("claims are JSON")),
        }
    }
}

impl ExplainedRecordView {
    /// `streams` has the streams of each event, in the order of [`events`].
    pub fn of(
        explained: Explained,
        streams: &mut impl Iterator<Item = Vec<ExplainedStream>>,
    ) -> Self {
        let result = |result| match result {
            ExplainedResult::Dropped { rule, why } => RecordResultView::Dropped { rule, why },
            ExplainedResult::Rejected { rule, path, why, alarm } => {
                RecordResultView::Rejected { rule, path, why, alarm }
            }
            ExplainedResult::Emitted(emitted) => {
                let EmittedResult { rule, json, event, findings, is_gated } = *emitted;
                let of_event = match event {
                    Ok(_) => streams.next().unwrap_or_default(),
                    Err(_) => Vec::new(),
                };
                RecordResultView::Emitted(Box::new(EmittedEventView {
                    rule,
                    event: json,
                    accepted: event.is_ok(),
                    detail: event.err(),
                    gated: is_gated,
                    findings: findings.into_iter().map(FindingView::from).collect(),
                    streams: of_event.into_iter().map(ExplainedStreamView::from).collect(),
                }))
            }
        };
        Self {
            native_id: explained.native_id,
            native_type: explained.native_type,
            rules: explained.trace.into_iter().map(TriedRuleView::from).collect(),
            results: explained.results.into_iter().map(result).collect(),
        }
    }
}

/// Returns the valid events of records, in their order.
pub fn events(explained: &[Explained]) -> impl Iterator<Item = &Event> {
    let results = explained.iter().flat_map(|record| &record.results);
    results.filter_map(|result| match result {
        ExplainedResult::Emitted(emitted) => emitted.event.as_ref().ok(),
        ExplainedResult::Dropped { .. } | ExplainedResult::Rejected { .. } => None,
    })
}

pub(in crate::http) async fn explain(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    sources: web::Data<SourceSet>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let mut members = BodyMembers(body.at_most(BODY_BYTES_MAX).object_with_nulls().await?);
    let required = |name| ApiError::bad(name, "is required");
    let provider = members.text("provider")?.ok_or_else(|| required("provider"))?;
    let name = members.text("source")?.ok_or_else(|| required("source"))?;
    // A text is the body as it is; anything else is written as JSON.
    let payload = match members.value("payload") {
        None => return Err(required("payload")),
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
    };
    let headers = members.pairs("headers")?;
    let query = members.pairs("query")?;
    members.end()?;
    let source = sources.at(&provider, &name).ok_or(ApiError::NoSource)?;
    let now = clock::now();
    let tried = TriedBody { body: payload.as_bytes(), headers, query };
    let explained = source.explainer().explain(tried, now);
    let mut explained = explained.map_err(|why| ApiError::bad("payload", why))?;
    let total = explained.len();
    explained.truncate(RECORDS_MAX);
    let mut streams = Vec::new();
    for event in events(&explained) {
        streams.push(transmitter.explain(&source.parts().provider, event, now).await?);
    }
    let mut streams = streams.into_iter();
    let records = explained.into_iter().map(|one| ExplainedRecordView::of(one, &mut streams));
    let records = records.collect();
    let (provider, source) = (source.parts().provider.name.clone(), source.parts().name.clone());
    let view = SourceExplanationView { provider, source, records, total };
    Ok(answer(HttpResponse::Ok(), view))
}
