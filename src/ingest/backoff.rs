//! How long to wait before the next try.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);

/// Doubles from [`FIRST`] to a ceiling, and starts over after a success.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(max: Duration) -> Self {
        Self { next: FIRST.min(max), max }
    }

    pub(super) fn reset(&mut self) {
        self.next = FIRST.min(self.max);
    }

    /// `dice` (`0.0..=1.0`) takes off up to a half, so that many do not come back at once.
    pub(super) fn next(&mut self, dice: f64) -> Duration {
        let wait = self.next.mul_f64(1.0 - dice / 2.0);
        self.next = (self.next * 2).min(self.max);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_ceiling() {
        let mut backoff = Backoff::new(Duration::from_millis(500));
        let waits: Vec<_> = (0..4).map(|_| backoff.next(0.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 500]);
        backoff.reset();
        assert_eq!(backoff.next(1.0), Duration::from_millis(50));
    }
}
