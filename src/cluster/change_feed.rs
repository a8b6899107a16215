//! The change feed: how a node tells the other nodes of changes.
//!
//! - [`ChangeFeed`] collects the [`Notice`]s of this node without waiting.
//! - `writer` appends them to a Redis stream, one entry at a time.
//! - `reader` follows the entries of the other nodes, detects sequence gaps and applies each notice
//!   to this node.

pub mod notice;
pub(super) mod reader;
pub(super) mod writer;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use self::notice::Notice;

/// Collects notices while the previous entry is being written, so that sending never waits. A
/// daemon without a cluster has a disabled feed, which keeps nothing.
#[derive(Debug)]
pub struct ChangeFeed {
    /// `None` if the feed is disabled.
    pending: Option<Mutex<Notice>>,
    ready: Notify,
}

impl ChangeFeed {
    /// The feed of a daemon that has its store for itself.
    pub fn disabled() -> Self {
        Self { pending: None, ready: Notify::new() }
    }

    pub(super) fn enabled() -> Self {
        Self { pending: Some(Mutex::default()), ready: Notify::new() }
    }

    pub fn is_enabled(&self) -> bool {
        self.pending.is_some()
    }

    /// Queues a notice for the other nodes. Returns at once.
    pub fn send(&self, notice: Notice) {
        if let Some(pending) = &self.pending
            && !notice.is_empty()
        {
            lock(pending).merge(notice);
            self.ready.notify_one();
        }
    }

    /// Waits for notices and returns all that were queued, merged into one.
    pub(super) async fn next(&self) -> Notice {
        loop {
            let notice = self.pending.as_ref().map(|pending| std::mem::take(&mut *lock(pending)));
            match notice.filter(|notice| !notice.is_empty()) {
                Some(notice) => return notice,
                None => self.ready.notified().await,
            }
        }
    }
}

// A poisoned lock is usable, because none of the lines that hold it leaves a notice half merged.
fn lock(pending: &Mutex<Notice>) -> MutexGuard<'_, Notice> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn notices_that_are_sent_while_an_entry_is_written_form_the_next_entry() {
        let id = |n: u8| format!("st_{n}").parse().expect("a valid id");
        let change_feed = ChangeFeed::enabled();
        change_feed.send(Notice::changed(&id(1)));
        assert_eq!(change_feed.next().await, Notice::changed(&id(1)));
        change_feed.send(Notice::changed(&id(2)));
        change_feed.send(Notice::changed(&id(3)));
        let both = Notice { changed: [id(2), id(3)].into(), ..Notice::default() };
        assert_eq!(change_feed.next().await, both);
    }

    #[test]
    fn a_disabled_feed_keeps_nothing() {
        let disabled = ChangeFeed::disabled();
        disabled.send(Notice::changed(&"st_1".parse().expect("a valid id")));
        assert!(!disabled.is_enabled() && disabled.pending.is_none());
    }
}
