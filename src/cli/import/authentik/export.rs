//! Reads what authentik's API lists of SSF providers and streams.

mod answers;
mod entry;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use self::{
    answers::{Listed, answers, entries},
    entry::Entry,
};
use crate::domain::{
    event_type::EventType, id::StreamId, status::StreamStatus, stream::METHOD_PUSH,
};

/// The status of a stream that its Receiver deleted, and that authentik has not removed yet.
const DELETED: &str = "disabled_deleted";

/// Members of an SSF provider that say nothing about its streams.
const PROVIDER_LABELS: [&str; 9] = [
    "component",
    "verbose_name",
    "verbose_name_plural",
    "meta_model_name",
    "assigned_application_slug",
    "assigned_application_name",
    "assigned_backchannel_application_slug",
    "assigned_backchannel_application_name",
    "ssf_url",
];

/// The lists of an export.
#[derive(Debug, Default)]
pub(super) struct Export {
    /// In the order of their ids.
    pub(super) streams: Vec<Stream>,
    /// The streams that their Receivers deleted. Nothing else of them counts.
    pub(super) deleted: Vec<StreamId>,
    /// By `pk`.
    pub(super) providers: BTreeMap<i64, SsfProvider>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// The `pk` of its SSF provider.
    pub(super) provider: i64,
    pub(super) status: StreamStatus,
    /// The name of the method as authentik has it, and as SSF has it.
    pub(super) method: (String, &'static str),
    pub(super) endpoint_url: Option<String>,
    /// Not part of authentik's API. An operator who knows the value may add the member.
    pub(super) authorization_header: Option<String>,
    pub(super) events_requested: Vec<String>,
    /// The subject format that the Receiver asked for.
    pub(super) format: Option<String>,
    pub(super) aud: Vec<String>,
    pub(super) iss: String,
    /// Further members that are not empty.
    pub(super) strays: Vec<String>,
}

/// One SSF provider, which signs for the streams of one application.
#[derive(Debug)]
pub(super) struct SsfProvider {
    pub(super) name: String,
    /// Whether it verifies the certificates of push endpoints.
    pub(super) verifies: bool,
    pub(super) event_retention: Option<String>,
    /// The names of the OIDC providers whose tokens open its interface.
    pub(super) oidc_providers: Vec<String>,
    /// Further members that are not empty.
    pub(super) strays: Vec<String>,
}

impl Export {
    /// Reads the answers of the API, which stand one behind the other or in an array. Returns all that is
    /// wrong.
    pub(super) fn read(text: &[u8]) -> Result<Self, Vec<String>> {
        let answers = answers(text).map_err(|flaw| vec![flaw])?;
        let (mut export, mut flaws) = (Self::default(), Vec::new());
        let (mut streams, mut providers) = (Listed::default(), Listed::default());
        let mut seen = BTreeSet::new();
        for (n, answer) in (1..).zip(answers) {
            let entries = match entries(answer) {
                Ok(entries) => entries,
                Err(flaw) => {
                    flaws.push(format!("answer {n} {flaw}"));
                    continue;
                }
            };
            for (at, entry) in (1..).zip(entries.list) {
                let (name, Value::Object(members)) = (format!("answer {n}, entry {at}"), entry)
                else {
                    flaws.push(format!("answer {n}, entry {at} must be an object"));
                    continue;
                };
                if members.contains_key("delivery_method") {
                    streams.note(entries.count);
                    if let Err(found) = export.stream(name, members, &mut seen) {
                        flaws.extend(found);
                    }
                } else if members.contains_key("ssf_url") {
                    providers.note(entries.count);
                    export.provider(name, members, &mut flaws);
                } else {
                    flaws.push(format!(
                        "{name} is neither an SSF stream nor an SSF provider; fetch \
                         /api/v3/providers/ssf/ and /api/v3/ssf/streams/"
                    ));
                }
            }
        }
        flaws.extend(streams.flaw("streams", "/api/v3/ssf/streams/"));
        flaws.extend(providers.flaw("SSF providers", "/api/v3/providers/ssf/"));
        export.streams.sort_by(|one, other| one.id.cmp(&other.id));
        export.deleted.sort();
        if flaws.is_empty() { Ok(export) } else { Err(flaws) }
    }

    /// Reads a stream, and the SSF provider that stands in it. `seen` has the ids of the streams before.
    fn stream(
        &mut self,
        name: String,
        members: Map<String, Value>,
        seen: &mut BTreeSet<StreamId>,
    ) -> Result<(), Vec<String>> {
        let mut entry = Entry::new(name, members);
        let id = entry.required("pk").and_then(|id| {
            entry.name = format!("stream {}", id.escape_debug());
            entry.parsed::<StreamId>("pk", &id)
        });
        if id.as_ref().is_some_and(|id| !seen.insert(id.clone())) {
            entry.flaw("pk", "occurs twice; fetch all pages again");
        }
        let status = entry.text("status");
        if let (Some(DELETED), Some(id)) = (status.as_deref(), &id) {
            self.deleted.push(id.clone());
            return if entry.flaws.is_empty() { Ok(()) } else { Err(entry.flaws) };
        }
        // Versions before 2026.5 have no status.
        let status = status.as_deref().unwrap_or(StreamStatus::Enabled.as_str());
        let status = entry.parsed::<StreamStatus>("status", status);
        if let Some(Value::Object(provider)) = entry.take("provider_obj") {
            let name = format!("{}, `provider_obj`", entry.name);
            self.provider(name, provider, &mut entry.flaws);
        }
        let provider = entry.number("provider");
        let method = entry.method();
        let endpoint_url = entry.text("endpoint_url").filter(|url| !url.is_empty());
        if method.as_ref().is_some_and(|(_, method)| *method == METHOD_PUSH)
            && endpoint_url.is_none()
        {
            entry.flaw("endpoint_url", "is required for push");
        }
        let events_requested = entry.texts("events_requested");
        for requested in &events_requested {
            if requested.parse::<EventType>().is_err() {
                let rule = format!("has `{requested}`, which is no URI; remove it from the export");
                entry.flaw("events_requested", &rule);
            }
        }
        let (authorization_header, format) =
            (entry.text("authorization_header"), entry.text("format"));
        let aud = entry.texts("aud");
        if aud.is_empty() || aud.iter().any(String::is_empty) {
            let rule = "must have a value and no empty one; write the `aud` that the Receiver expects \
                        into the export";
            entry.flaw("aud", rule);
        }
        let iss = entry.required("iss").unwrap_or_default();
        let (strays, flaws) = entry.rest();
        let required = (id, provider, status, method);
        let (Some(id), Some(provider), Some(status), Some(method)) = required else {
            return Err(flaws);
        };
        if !flaws.is_empty() {
            return Err(flaws);
        }
        self.streams.push(Stream {
            id,
            provider,
            status,
            method,
            endpoint_url,
            authorization_header,
            events_requested,
            format,
            aud,
            iss,
            strays,
        });
        Ok(())
    }

    /// Reads an SSF provider. The same one may occur in the list of providers and in each of its streams.
    fn provider(&mut self, name: String, members: Map<String, Value>, flaws: &mut Vec<String>) {
        let mut entry = Entry::new(name, members);
        let pk = entry.number("pk");
        let name = entry.required("name").unwrap_or_default();
        let verifies = entry.take("push_verify_certificates") != Some(Value::Bool(false));
        let event_retention = entry.text("event_retention");
        let oidc_providers = entry.oidc_providers();
        // The token's description has no secret, and the signing key only an id.
        for member in PROVIDER_LABELS.into_iter().chain(["signing_key", "token_obj"]) {
            entry.take(member);
        }
        let (strays, found) = entry.rest();
        if let Some(pk) = pk.filter(|_| found.is_empty()) {
            let provider = SsfProvider { name, verifies, event_retention, oidc_providers, strays };
            self.providers.entry(pk).or_insert(provider);
        }
        flaws.extend(found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PUSH: &str = "https://schemas.openid.net/secevent/risc/delivery-method/push";

    fn stream(pk: &str) -> Value {
        json!({
            "pk": pk, "status": "enabled", "provider": 7, "delivery_method": PUSH,
            "endpoint_url": "https://rx.example/in", "events_requested": [], "format": "iss_sub",
            "aud": ["https://rx.example"], "iss": "https://auth.example/.well-known/ssf-configuration/a",
        })
    }

    fn page(count: u64, results: &[Value]) -> Value {
        json!({"pagination": {"next": 0, "count": count}, "results": results})
    }

    #[track_caller]
    fn refuses(text: &str, flaw: &str) {
        let flaws = Export::read(text.as_bytes()).expect_err(text);
        assert!(flaws.iter().any(|found| found.contains(flaw)), "no `{flaw}` in {flaws:#?}");
    }

    #[test]
    fn answers_stand_behind_each_other_or_in_an_array() {
        let (one, two) = (page(2, &[stream("a")]), page(2, &[stream("b")]));
        for text in
            [format!("{one}{two}"), format!("{one}\n{two}\n"), json!([one, two]).to_string()]
        {
            let export = Export::read(text.as_bytes()).expect("complete");
            let ids: Vec<_> = export.streams.iter().map(|stream| stream.id.as_str()).collect();
            assert_eq!(ids, ["a", "b"]);
        }
    }

    #[test]
    fn an_export_that_is_not_complete_is_refused() {
        let whole = page(2, &[stream("a"), stream("b")]).to_string();
        assert!(Export::read(whole.as_bytes()).is_ok());
        for end in 1..whole.len() {
            let flaws = Export::read(&whole.as_bytes()[..end]).expect_err("it is cut");
            assert!(flaws[0].contains("answer 1 is cut or no JSON"), "{flaws:?}");
        }
        refuses("", "the file is empty");
        refuses(" \n", "the file is empty");
        refuses(&page(3, &[stream("a"), stream("b")]).to_string(), "has 2 of 3 streams; fetch");
        refuses(r#"{"detail":"Invalid token."}"#, "is a refusal of authentik: `Invalid token.`");
        refuses("[1]", "answer 1 must be an object with `results`");
        refuses("{}", "answer 1 must have a list `results`");
        refuses(&page(1, &[json!(7)]).to_string(), "answer 1, entry 1 must be an object");
        refuses(&page(1, &[json!({"pk": 1})]).to_string(), "is neither an SSF stream nor");
        refuses(r#"{"results":[],"results":[]}"#, "must not have the member `results` twice");
    }

    #[test]
    fn a_stream_that_breaks_a_rule_is_named_with_the_member() {
        let with = |member: &str, value: Value| {
            let mut stream = stream("a");
            stream[member] = value;
            page(1, &[stream]).to_string()
        };
        refuses(&with("pk", Value::Null), "answer 1, entry 1: `pk`");
        refuses(&with("pk", json!("a b")), "stream a b: `pk` is `a b`: a stream id must be");
        refuses(&with("provider", json!("x")), "stream a: `provider` must be a whole number");
        refuses(&with("status", json!("gone")), "stream a: `status` is `gone`: must be `enabled`");
        refuses(
            &with("delivery_method", json!("urn:x")),
            "stream a: `delivery_method` must be one",
        );
        refuses(
            &with("endpoint_url", Value::Null),
            "stream a: `endpoint_url` is required for push",
        );
        refuses(&with("endpoint_url", json!(7)), "stream a: `endpoint_url` must be a string");
        refuses(&with("events_requested", json!("x")), "`events_requested` must be a list");
        refuses(&with("events_requested", json!(["*"])), "has `*`, which is no URI");
        refuses(&with("aud", json!([])), "stream a: `aud` must have a value");
        refuses(&with("aud", json!([""])), "write the `aud` that the Receiver expects");
        refuses(&with("iss", Value::Null), "stream a: `iss`");
        refuses(&page(2, &[stream("a"), stream("a")]).to_string(), "stream a: `pk` occurs twice");
        // All that is wrong is told at once.
        let both = page(2, &[with_null("a", "aud"), with_null("b", "iss")]).to_string();
        assert_eq!(Export::read(both.as_bytes()).expect_err("two flaws").len(), 2);
    }

    fn with_null(pk: &str, member: &str) -> Value {
        let mut stream = stream(pk);
        stream[member] = Value::Null;
        stream
    }

    #[test]
    fn a_member_that_is_not_known_is_remembered_unless_it_is_empty() {
        let mut one = stream("a");
        one["user_subjects"] = json!([41]);
        one["filters"] = json!({});
        one["note"] = json!("");
        let export = Export::read(page(1, &[one]).to_string().as_bytes()).expect("valid");
        assert_eq!(export.streams[0].strays, ["user_subjects"]);
    }

    #[test]
    fn a_deleted_stream_is_told_apart_and_an_old_one_is_enabled() {
        let read = |status: Value, aud: Value| {
            let mut stream = stream("a");
            (stream["status"], stream["aud"]) = (status, aud);
            Export::read(page(1, &[stream]).to_string().as_bytes()).expect("valid")
        };
        let aud = json!(["https://rx.example"]);
        assert_eq!(read(Value::Null, aud.clone()).streams[0].status, StreamStatus::Enabled);
        assert_eq!(read(json!("paused"), aud).streams[0].status, StreamStatus::Paused);
        // Nothing else of a deleted stream counts.
        let deleted = read(json!("disabled_deleted"), json!([]));
        assert!(deleted.streams.is_empty());
        assert_eq!(json!(deleted.deleted), json!(["a"]));
    }
}
