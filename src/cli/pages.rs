//! Operations on many SETs, page by page and at a bounded rate.

use std::{num::NonZeroU32, time::Duration};

use serde_json::{Value, json};

use crate::{
    cli::{CliError, admin::AdminClient},
    http::admin::{PAGE_MAX, dead_letters::HandledView},
};

/// The sums over all pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) sets: usize,
    pub(super) left: usize,
}

impl Totals {
    pub(super) fn to_json(self, dry_run: bool) -> Value {
        json!({"dry_run": dry_run, "sets": self.sets, "left": self.left})
    }
}

/// Posts `body` until there is no further page. With a rate, moves no more SETs than that in a
/// second: a page has at most as many, and a wait follows it.
pub(super) async fn handle_all(
    admin: &AdminClient,
    path: &[&str],
    mut body: Value,
    rate: Option<NonZeroU32>,
) -> Result<Totals, CliError> {
    let rate = rate.map(NonZeroU32::get);
    let limit = rate.and_then(|rate| usize::try_from(rate).ok()).unwrap_or(PAGE_MAX);
    body["limit"] = limit.min(PAGE_MAX).into();
    let mut totals = Totals::default();
    loop {
        let page: HandledView = admin.post(path, &body).await.map_err(|error| {
            CliError::new(format!(
                "{error} (after {} SETs; the command can be repeated)",
                totals.sets
            ))
        })?;
        totals.sets += page.sets;
        totals.left += page.left;
        let Some(next) = page.next else { return Ok(totals) };
        body["after"] = next.into();
        if let Some(rate) = rate {
            tokio::time::sleep(pause(page.sets, rate)).await;
        }
    }
}

/// Returns how long this number of SETs takes at this rate.
fn pause(sets: usize, rate: u32) -> Duration {
    Duration::from_secs(1).saturating_mul(u32::try_from(sets).unwrap_or(u32::MAX)) / rate.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_after_a_page_follows_from_the_rate() {
        assert_eq!(pause(100, 100), Duration::from_secs(1));
        assert_eq!(pause(1, 4), Duration::from_millis(250));
        assert_eq!(pause(0, 4), Duration::ZERO);
    }
}
