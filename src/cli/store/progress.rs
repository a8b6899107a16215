//! Shows the progress of a copy in one line of a terminal.

use std::{
    cell::Cell,
    io::{IsTerminal as _, Write as _, stderr},
};

use crate::store::copy::{CopyStep, Progress};

/// A line on standard error that is rewritten. Prints nothing if standard error is not a terminal.
pub(super) struct ProgressLine {
    is_terminal: bool,
    /// The step and the percentage that were printed last.
    last: Cell<Option<(CopyStep, u64)>>,
}

impl ProgressLine {
    pub(super) fn new() -> Self {
        Self { is_terminal: stderr().is_terminal(), last: Cell::new(None) }
    }

    pub(super) fn update(&self, progress: Progress) {
        let Progress { step, done, of } = progress;
        let now = Some((step, done * 100 / of.max(1)));
        if self.is_terminal && self.last.replace(now) != now {
            // A failure is ignored, because the progress is only informative.
            write!(stderr(), "\r\x1b[K{}", line(progress)).ok();
        }
    }

    /// Removes the line.
    pub(super) fn clear(&self) {
        if self.last.take().is_some() {
            write!(stderr(), "\r\x1b[K").ok();
        }
    }
}

fn line(Progress { step, done, of }: Progress) -> String {
    match step {
        CopyStep::Compare => format!("comparing: {done} of {of} streams"),
        CopyStep::Write => format!("writing: {done} of {of} records"),
        CopyStep::Verify => format!("verifying: {done} of {of} streams"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_names_its_unit() {
        let at = |step| line(Progress { step, done: 5, of: 40 });
        assert_eq!(at(CopyStep::Compare), "comparing: 5 of 40 streams");
        assert_eq!(at(CopyStep::Write), "writing: 5 of 40 records");
        assert_eq!(at(CopyStep::Verify), "verifying: 5 of 40 streams");
    }
}
