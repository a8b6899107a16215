//! What a copy or a comparison came to.

use serde_json::{Map, Value, json};

use crate::store::{copy::Comparison, portable::Kind};

/// How two stores compared, and what was done then.
pub(super) struct Report<'a> {
    pub(super) before: &'a Comparison,
    pub(super) done: Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Surveyed,
    Copied,
    Compared,
}

impl Report<'_> {
    pub(super) fn text(&self, json: bool) -> String {
        if json { self.json().to_string() } else { self.table() }
    }

    fn same(&self) -> bool {
        self.done == Done::Copied || self.before.difference().is_none()
    }

    fn json(&self) -> Value {
        let before = self.before;
        let kinds = Kind::all().map(|kind| {
            let (source, target) = (before.source.of(kind), before.target.of(kind));
            let tally = json!({
                "source": source.count, "target": target.count,
                "source_digest": source.to_string(), "target_digest": target.to_string(),
            });
            (kind.as_str().to_owned(), tally)
        });
        json!({
            "dry_run": self.done == Done::Surveyed,
            "same": self.same(),
            "streams": before.streams_to_write(),
            "streams_removed": before.streams_to_remove(),
            "records": before.records_to_write(),
            "kinds": kinds.collect::<Map<_, _>>(),
        })
    }

    fn table(&self) -> String {
        let target = if self.done == Done::Copied { "target before" } else { "target" };
        let mut lines = vec![format!("{:26}  {:>13}  {target:>13}", "", "source")];
        for kind in Kind::all() {
            let (source, target) = (self.before.source.of(kind), self.before.target.of(kind));
            let mark = if source == target { "" } else { "  *" };
            lines.push(format!("{kind:26}  {:>13}  {:>13}{mark}", source.count, target.count));
        }
        lines.push(self.sentence());
        lines.join("\n")
    }

    fn sentence(&self) -> String {
        let before = self.before;
        let (streams, records) = (before.streams_to_write(), before.records_to_write());
        let removed = match before.streams_to_remove() {
            0 => String::new(),
            n => format!(", streams removed: {n}"),
        };
        let written = format!("{records}, streams among them: {streams}{removed}");
        match self.done {
            _ if before.difference().is_none() => "both hold the same".to_owned(),
            Done::Surveyed => format!("records to be written: {written}"),
            Done::Copied => format!("records written: {written}; both hold the same now"),
            Done::Compared => "what is marked is not the same".to_owned(),
        }
    }
}
