//! The report of a copy or a comparison.

use serde_json::{Map, Value, json};

use crate::store::copy::Comparison;

/// The result of a comparison, and the operation that it was for.
pub(super) struct CopyReport<'a> {
    pub(super) before: &'a Comparison,
    /// Where the target is.
    pub(super) target: String,
    pub(super) operation: CopyOperation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyOperation {
    DryRun,
    Copy,
    Verify,
}

impl CopyReport<'_> {
    pub(super) fn text(&self, json: bool) -> String {
        if json { self.json().to_string() } else { self.table() }
    }

    fn same(&self) -> bool {
        self.operation == CopyOperation::Copy || self.before.difference().is_none()
    }

    fn json(&self) -> Value {
        let before = self.before;
        let kinds = before.kinds().into_iter().map(|kind| {
            let (source, target) = (before.source.of(&kind), before.target.of(&kind));
            let tally = json!({
                "source": source.count, "target": target.count,
                "source_digest": source.to_string(), "target_digest": target.to_string(),
            });
            (kind.as_str().to_owned(), tally)
        });
        json!({
            "dry_run": self.operation == CopyOperation::DryRun,
            "same": self.same(),
            "target": self.target,
            "streams": before.streams_to_write(),
            "streams_removed": before.streams_to_remove(),
            "records": before.records_to_write(),
            "kinds": kinds.collect::<Map<_, _>>(),
        })
    }

    fn table(&self) -> String {
        let target = if self.operation == CopyOperation::Copy { "target before" } else { "target" };
        let mut lines = vec![format!("{:26}  {:>13}  {target:>13}", "", "source")];
        for kind in self.before.kinds() {
            let (source, target) = (self.before.source.of(&kind), self.before.target.of(&kind));
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
        match self.operation {
            _ if before.difference().is_none() => "both stores have the same content".to_owned(),
            CopyOperation::DryRun => format!("records to be written: {written}"),
            CopyOperation::Copy => {
                format!(
                    "records written to {}: {written}; both stores now have the same content",
                    self.target
                )
            }
            CopyOperation::Verify => "the stores differ in the kinds marked with *".to_owned(),
        }
    }
}
