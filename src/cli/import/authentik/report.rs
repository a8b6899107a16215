//! Tells what became of each stream, and what cannot be carried over.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    export::{Export, SsfProvider},
    plan::{Fate, Plan, undelivered},
};
use crate::{
    cli::{plain, table::Table},
    domain::stream::{METHOD_POLL, METHOD_PUSH},
};

/// The most ids of streams that stand before one note.
const IDS_SHOWN_MAX: usize = 3;

/// The result of an import, or of a dry run.
pub(super) struct Report<'a> {
    pub(super) export: &'a Export,
    pub(super) plans: &'a [Plan<'a>],
    pub(super) dry_run: bool,
}

/// A member that cannot be carried over, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Note {
    member: String,
    why: String,
}

impl Note {
    fn new(member: &str, why: impl Into<String>) -> Self {
        Self { member: member.to_owned(), why: why.into() }
    }
}

impl Report<'_> {
    pub(super) fn text(&self) -> String {
        let headers = ["STREAM", "STATUS", "DELIVERY", "RECEIVER", "PROVIDER", "RESULT"];
        let mut table = Table::new(headers);
        for plan in self.plans {
            let view = plan.view();
            let method = if plan.stream.method.1 == METHOD_PUSH { "push" } else { "poll" };
            table.add([
                plan.stream.id.to_string(),
                view.status.clone(),
                method.to_owned(),
                view.receiver.to_string(),
                view.provider.to_string(),
                self.result(plan),
            ]);
        }
        for id in &self.export.deleted {
            let [none, result] = ["-", "left out, because it is deleted in authentik"];
            table.add([id.as_str(), none, none, none, none, result].map(str::to_owned));
        }
        let mut lines = vec![table.to_string(), String::new(), self.summary()];
        let notes = self.lines();
        if !notes.is_empty() {
            lines.push("\nNot carried over:".to_owned());
            lines.extend(notes.into_iter().map(|note| format!("  {}", plain(&note))));
        }
        lines.join("\n")
    }

    pub(super) fn json(&self) -> Value {
        let notes = |notes: Vec<Note>| -> Vec<Value> {
            notes.iter().map(|note| json!({"member": note.member, "why": note.why})).collect()
        };
        let stream = |plan: &Plan<'_>| {
            let view = plan.view();
            let (result, differs) = match &plan.fate {
                Fate::Make { .. } => ("made", None),
                Fate::Kept { differs, .. } => ("kept", Some(differs)),
            };
            json!({
                "stream_id": plan.stream.id,
                "result": result,
                "differs": differs,
                "receiver": view.receiver,
                "provider": view.provider,
                "status": view.status,
                "not_carried": notes(of_plan(plan)),
            })
        };
        let deleted = self.export.deleted.iter();
        let deleted =
            deleted.map(|id| json!({"stream_id": id, "result": "left_out", "not_carried": []}));
        let provider = |(pk, provider): (&i64, &SsfProvider)| json!({"pk": pk, "name": provider.name, "not_carried": notes(of_provider(provider))});
        json!({
            "dry_run": self.dry_run,
            "streams": self.plans.iter().map(stream).chain(deleted).collect::<Vec<_>>(),
            "ssf_providers": self.export.providers.iter().map(provider).collect::<Vec<_>>(),
        })
    }

    fn result(&self, plan: &Plan<'_>) -> String {
        match &plan.fate {
            Fate::Make { .. } if self.dry_run => "would be made".to_owned(),
            Fate::Make { .. } => "made".to_owned(),
            Fate::Kept { differs, .. } if differs.is_empty() => "there already".to_owned(),
            Fate::Kept { differs, .. } => {
                format!("there already, differs in {}; left as it is", differs.join(", "))
            }
        }
    }

    fn summary(&self) -> String {
        let made = self.plans.iter().filter(|plan| plan.body().is_some()).count();
        let (kept, deleted) = (self.plans.len() - made, self.export.deleted.len());
        let verb = if self.dry_run { "would be made" } else { "made" };
        let nothing = if made == 0 && !self.dry_run { "; nothing was changed" } else { "" };
        format!("{made} {verb}, {kept} there already, {deleted} left out{nothing}")
    }

    /// Notes as lines. A note that several streams share stands once.
    fn lines(&self) -> Vec<String> {
        let mut shared: BTreeMap<Note, Vec<&str>> = BTreeMap::new();
        for plan in self.plans {
            for note in of_plan(plan) {
                shared.entry(note).or_default().push(plan.stream.id.as_str());
            }
        }
        let of_streams = shared.into_iter().map(|(Note { member, why }, ids)| {
            let shown = ids[..ids.len().min(IDS_SHOWN_MAX)].join(", ");
            let more = ids.len().saturating_sub(IDS_SHOWN_MAX);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!("`{member}` of {shown}{more}: {why}")
        });
        let of_providers = self.export.providers.values().flat_map(|provider| {
            let line = |Note { member, why }| {
                format!("`{member}` of the SSF provider `{}`: {why}", provider.name)
            };
            of_provider(provider).into_iter().map(line)
        });
        of_streams.chain(of_providers).collect()
    }
}

/// Returns the members of a stream that cannot be carried over.
fn of_plan(plan: &Plan<'_>) -> Vec<Note> {
    let (stream, view) = (plan.stream, plan.view());
    let mut notes = Vec::new();
    let (name, method) = &stream.method;
    if name != method {
        let why = format!("the Receiver will read `{method}`, which is its name in SSF 1.0");
        notes.push(Note::new("delivery_method", why));
    }
    if *method == METHOD_POLL {
        let why = format!("the Receiver polls at `{}`", view.delivery.endpoint_url);
        notes.push(Note::new("endpoint_url", why));
    } else if stream.authorization_header.is_none() && !view.delivery.has_authorization_header {
        let why = "authentik does not tell whether the Receiver gave one, so pushes go without; if you \
                   know it, add it to the stream in the export before the import";
        notes.push(Note::new("authorization_header", why));
    }
    if view.iss != stream.iss {
        let why = format!(
            "SETs will have the issuer of `{}`, `{}`, and no longer `{}`",
            view.provider, view.iss, stream.iss
        );
        notes.push(Note::new("iss", why));
    }
    for event_type in undelivered(stream, view) {
        let why = format!(
            "the provider `{}` does not offer `{event_type}`, so the stream gets none of these events",
            view.provider
        );
        notes.push(Note::new("events_requested", why));
    }
    if let Some(format) = &stream.format {
        let why = format!(
            "authentik ignores `{format}`; SETs have the subject of the event, and `ssfd streams format` \
             chooses another identifier"
        );
        notes.push(Note::new("format", why));
    }
    let strays = stream.strays.iter();
    notes.extend(strays.map(|member| Note::new(member, "ssfd has nothing like it")));
    notes
}

/// Returns the members of an SSF provider that cannot be carried over.
fn of_provider(provider: &SsfProvider) -> Vec<Note> {
    let mut notes = vec![
        Note::new(
            "signing_key",
            "it is in no answer of the API; put its PEM file into `signing_keys` of the provider",
        ),
        Note::new(
            "token_obj",
            "the token of the Receiver is not in the export; make one by `ssfd tokens create receiver`",
        ),
        Note::new(
            "application",
            "its policies are no part of the export; authentik sends only events about users who may use \
             the application, and ssfd sends all that are published and on the stream",
        ),
    ];
    if !provider.oidc_providers.is_empty() {
        let why = format!(
            "for the access tokens of {}, set `oauth` of the provider",
            provider.oidc_providers.join(", ")
        );
        notes.push(Note::new("oidc_auth_providers", why));
    }
    if !provider.verifies {
        let why = "ssfd always verifies the certificates of push endpoints; name further authorities in \
                   `push.trusted_roots`";
        notes.push(Note::new("push_verify_certificates", why));
    }
    if let Some(retention) = &provider.event_retention {
        let why = format!("it is `{retention}`; set `event_retention` of the provider");
        notes.push(Note::new("event_retention", why));
    }
    let strays = provider.strays.iter();
    notes.extend(strays.map(|member| Note::new(member, "ssfd has nothing like it")));
    notes
}
