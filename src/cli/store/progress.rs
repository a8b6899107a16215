//! How far a copy is, in one line of a terminal.

use std::{
    cell::Cell,
    io::{IsTerminal as _, Write as _, stderr},
};

use crate::store::copy::{Progress, Step};

/// Nothing where nobody looks.
pub(super) struct Shown {
    is_terminal: bool,
    /// The last, in hundredths.
    last: Cell<Option<(Step, u64)>>,
}

impl Shown {
    pub(super) fn new() -> Self {
        Self { is_terminal: stderr().is_terminal(), last: Cell::new(None) }
    }

    pub(super) fn tell(&self, progress: Progress) {
        let Progress { step, done, of } = progress;
        let now = Some((step, done * 100 / of.max(1)));
        if self.is_terminal && self.last.replace(now) != now {
            // Who does not see it misses nothing.
            write!(stderr(), "\r\x1b[K{}", line(progress)).ok();
        }
    }

    /// The line is free again.
    pub(super) fn end(&self) {
        if self.last.take().is_some() {
            write!(stderr(), "\r\x1b[K").ok();
        }
    }
}

fn line(Progress { step, done, of }: Progress) -> String {
    match step {
        Step::Compare => format!("comparing: {done} of {of} streams"),
        Step::Write => format!("writing: {done} of {of} records"),
        Step::Verify => format!("verifying: {done} of {of} streams"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_says_what_it_counts() {
        let at = |step| line(Progress { step, done: 5, of: 40 });
        assert_eq!(at(Step::Compare), "comparing: 5 of 40 streams");
        assert_eq!(at(Step::Write), "writing: 5 of 40 records");
        assert_eq!(at(Step::Verify), "verifying: 5 of 40 streams");
    }
}
