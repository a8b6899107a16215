//! What this node has to tell the others, gathered while the last entry is on its way.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::notice::Notice;

/// Takes notice from whoever has some, at once and without waiting. Where there is one node nobody
/// listens, and nothing is kept.
#[derive(Debug)]
pub struct ChangeFeed {
    untold: Option<Mutex<Notice>>,
    bell: Notify,
}

impl ChangeFeed {
    /// Of a node that has nobody to tell.
    pub fn silent() -> Self {
        Self { untold: None, bell: Notify::new() }
    }

    /// Of a node that may have others.
    pub(super) fn to_others() -> Self {
        Self { untold: Some(Mutex::default()), bell: Notify::new() }
    }

    /// Whether anybody may listen.
    pub fn is_silent(&self) -> bool {
        self.untold.is_none()
    }

    pub fn tell(&self, notice: Notice) {
        if let Some(untold) = &self.untold
            && !notice.is_empty()
        {
            lock(untold).merge(notice);
            self.bell.notify_one();
        }
    }

    /// What was gathered, once there is something.
    pub(super) async fn next(&self) -> Notice {
        loop {
            let notice = self.untold.as_ref().map(|untold| std::mem::take(&mut *lock(untold)));
            match notice.filter(|notice| !notice.is_empty()) {
                Some(notice) => return notice,
                None => self.bell.notified().await,
            }
        }
    }
}

// A poisoned lock means a panic in the few lines above: what is there is whole.
fn lock(untold: &Mutex<Notice>) -> MutexGuard<'_, Notice> {
    untold.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_while_one_entry_is_on_its_way_is_the_next() {
        let id = |n: u8| format!("st_{n}").parse().expect("a valid id");
        let change_feed = ChangeFeed::to_others();
        change_feed.tell(Notice::changed(&id(1)));
        assert_eq!(change_feed.next().await, Notice::changed(&id(1)));
        change_feed.tell(Notice::changed(&id(2)));
        change_feed.tell(Notice::changed(&id(3)));
        let both = Notice { changed: [id(2), id(3)].into(), ..Notice::default() };
        assert_eq!(change_feed.next().await, both);
        let silent = ChangeFeed::silent();
        silent.tell(Notice::changed(&id(1)));
        assert!(silent.is_silent() && silent.untold.is_none());
    }
}
