//! What this node has to tell the others, gathered while the last entry is on its way.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::news::News;

/// Takes news from whoever has some, at once and without waiting. Where there is one node nobody
/// listens, and nothing is kept.
#[derive(Debug)]
pub struct Teller {
    untold: Option<Mutex<News>>,
    bell: Notify,
}

impl Teller {
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

    pub fn tell(&self, news: News) {
        if let Some(untold) = &self.untold
            && !news.is_empty()
        {
            lock(untold).merge(news);
            self.bell.notify_one();
        }
    }

    /// What was gathered, once there is something.
    pub(super) async fn next(&self) -> News {
        loop {
            let news = self.untold.as_ref().map(|untold| std::mem::take(&mut *lock(untold)));
            match news.filter(|news| !news.is_empty()) {
                Some(news) => return news,
                None => self.bell.notified().await,
            }
        }
    }
}

// A poisoned lock means a panic in the few lines above: what is there is whole.
fn lock(untold: &Mutex<News>) -> MutexGuard<'_, News> {
    untold.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_while_one_entry_is_on_its_way_is_the_next() {
        let id = |n: u8| format!("st_{n}").parse().expect("a valid id");
        let teller = Teller::to_others();
        teller.tell(News::changed(&id(1)));
        assert_eq!(teller.next().await, News::changed(&id(1)));
        teller.tell(News::changed(&id(2)));
        teller.tell(News::changed(&id(3)));
        let both = News { changed: [id(2), id(3)].into(), ..News::default() };
        assert_eq!(teller.next().await, both);
        let silent = Teller::silent();
        silent.tell(News::changed(&id(1)));
        assert!(silent.is_silent() && silent.untold.is_none());
    }
}
