//! The decisions of one round: the request for each page, and where the position is after it. Pure.
//!
//! A round asks for pages until the provider has no more, or until it has made `poll.pages_max` requests.
//! After each page the position says where to go on, so a round that breaks off loses and repeats nothing
//! but that page.
//!
//! - By *time*, a page begins at the time of the newest record of the page before. An offset is used only
//!   where more records have the same time than a page holds, because an offset would pass over records if the
//!   provider removed old ones meanwhile.
//! - By *link* and by *cursor*, the provider says where to go on. If it does not know the place any more, a
//!   time is asked for, if the URL has one.
//!
//! A provider may show a record late, when newer ones were read already. So a round by time begins
//! `poll.overlap` before the base of the position. The base is the newest record, but not beyond the begin of
//! the round before: while a long round runs, its pages pass the places of records that are shown late.
//!
//! A position never moves back, and never past the newest record.

use std::{collections::HashSet, time::Duration};

use url::Url;

use super::{fault::Fault, page::PageFacts, template::Placeholder};
use crate::{
    domain::time::Timestamp,
    source::settings::{Paging, PollSettings, PollUrl, TimeFormat},
    store::records::poll_position::NextPage,
};

/// How far a URL was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    /// The time of the newest record, or the time from which the source began to poll.
    pub(super) newest: Timestamp,
    /// Where a round begins that does not go on at `next`.
    pub(super) base: Timestamp,
    /// When the round began that is not complete.
    pub(super) begun: Option<Timestamp>,
    /// Where to go on.
    pub(super) next: Option<NextPage>,
}

impl Position {
    /// Returns the position of a source that begins to poll.
    pub(super) fn starting(at: Timestamp) -> Self {
        Self { newest: at, base: at, begun: None, next: None }
    }
}

/// The request for one page.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Request {
    /// The records from a time on, without the first ones.
    Since {
        since: Timestamp,
        first: u64,
    },
    Link(Url),
    Cursor(String),
}

/// The step that follows a page once its records are durable.
#[derive(Debug)]
pub(super) enum Then {
    /// The next page is asked for.
    Ask,
    /// The provider has no more records.
    Complete,
    /// The provider may have more, for the next round.
    Continued,
    Fail(Fault),
}

/// The decisions about one page.
#[derive(Debug)]
pub(super) struct Judged {
    /// The position once the records are durable.
    pub(super) position: Position,
    pub(super) then: Then,
}

/// A round of one URL.
#[derive(Debug)]
pub(super) struct Round<'a> {
    settings: &'a PollSettings,
    url: &'a PollUrl,
    position: Position,
    begun: Timestamp,
    request: Request,
    /// Whether no page was asked for yet.
    is_first: bool,
    pages: u32,
    page_size: u32,
    /// The most records that a page of this URL had so far.
    largest: usize,
    /// No record before is asked for.
    oldest: Timestamp,
    asked: HashSet<String>,
    digest: Option<String>,
}

impl<'a> Round<'a> {
    /// Begins a round where the position says. `largest` is that of the round before, or 0. No record before
    /// `oldest` is asked for.
    pub(super) fn begin(
        settings: &'a PollSettings,
        url: &'a PollUrl,
        position: Position,
        largest: usize,
        oldest: Timestamp,
        now: Timestamp,
    ) -> Self {
        let mut round = Self {
            settings,
            url,
            request: Request::Since { since: Timestamp::EPOCH, first: 0 },
            is_first: true,
            pages: 0,
            page_size: settings.page_size,
            largest,
            oldest,
            asked: HashSet::new(),
            digest: None,
            begun: now,
            position,
        };
        if let Some(request) = round.resumed() {
            round.begun = round.position.begun.unwrap_or(now);
            round.request = request;
        } else {
            round.request = round.at_base();
        }
        round
    }

    /// Returns the request that the position asks for, if it still fits the settings.
    fn resumed(&self) -> Option<Request> {
        match (self.position.next.as_ref()?, self.settings.paging) {
            (NextPage::Time { since, first }, Paging::Time) => {
                let since = Timestamp::from_millis(*since);
                (self.oldest <= since).then_some(Request::Since { since, first: *first })
            }
            (NextPage::Link { url }, Paging::Link) => {
                let url = Url::parse(url).ok()?;
                let own = self.url.template.fill(|_| String::new()).origin();
                (url.origin() == own).then_some(Request::Link(url))
            }
            (NextPage::Cursor { cursor }, Paging::Cursor) => Some(Request::Cursor(cursor.clone())),
            _ => None,
        }
    }

    fn at_base(&self) -> Request {
        let since = (self.position.base - self.settings.overlap).max(self.oldest);
        Request::Since { since, first: 0 }
    }

    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    /// Returns the URL of the page that is asked for.
    pub(super) fn url(&self, now: Timestamp) -> Url {
        let (template, since, first, cursor) = match &self.request {
            Request::Link(url) => return url.clone(),
            Request::Since { since, first } => {
                (self.url.start.as_ref().unwrap_or(&self.url.template), *since, *first, "")
            }
            Request::Cursor(cursor) => (&self.url.template, self.oldest, 0, cursor.as_str()),
        };
        template.fill(|placeholder| match placeholder {
            Placeholder::Since => written(since, self.settings.time_format),
            Placeholder::Until => written(now, self.settings.time_format),
            Placeholder::First => first.to_string(),
            Placeholder::Max => self.page_size.to_string(),
            Placeholder::Cursor => cursor.to_owned(),
        })
    }

    /// Judges a page before its records are taken in. Fails if they must not be.
    pub(super) fn judge(&mut self, page: &PageFacts, now: Timestamp) -> Result<Judged, Fault> {
        let before = self.position.newest;
        if let Some(newest) = page.newest {
            // The provider's clock may be ahead of ours. Records that it writes next are never before now.
            self.position.newest = before.max(newest.min(now));
        }
        (self.pages, self.is_first) = (self.pages + 1, false);
        let next = match self.settings.paging {
            Paging::Time => self.by_time(page, before)?,
            Paging::Link => self.by_link(page),
            Paging::Cursor => self.by_cursor(page),
        };
        self.position.begun = Some(self.begun);
        let then = match next {
            Next::Nothing => {
                let Position { newest, base, begun, .. } = &mut self.position;
                *base = (*newest).min(self.begun).max(*base);
                *begun = None;
                Then::Complete
            }
            Next::Fail(fault) => Then::Fail(fault),
            Next::Page(request) => {
                self.request = request;
                if self.settings.pages_max <= self.pages { Then::Continued } else { Then::Ask }
            }
        };
        Ok(Judged { position: self.position.clone(), then })
    }

    fn by_time(&mut self, page: &PageFacts, before: Timestamp) -> Result<Next, Fault> {
        let Request::Since { since, first } = self.request else {
            unreachable!("a round by time asks by time");
        };
        if page.records == 0 {
            self.position.next = None;
            return Ok(Next::Nothing);
        }
        if page.first.is_none() {
            return Err(Fault::Timeless);
        }
        if page.last < page.first {
            return Err(Fault::Unordered);
        }
        let newest = page.newest.unwrap_or(since);
        // The provider pays no heed to the offset.
        let repeats = first != 0 && self.digest.as_ref() == Some(&page.digest);
        self.digest = Some(page.digest.clone());
        let is_full = self.page_size as usize <= page.records;
        // A provider may give fewer records than it is asked for, so a page that is as long as any before may
        // not be all, nor one that ends before the newest record that is known.
        let is_last = !is_full && page.records < self.largest && before <= newest;
        self.largest = self.largest.max(page.records);
        let advanced = just_before(newest, self.settings.time_format);
        let request = if is_last {
            None
        } else if since < advanced {
            Some((advanced, 0))
        } else if self.url.template.has(Placeholder::First) && !repeats {
            Some((since, first + page.records as u64))
        } else if is_full {
            return Ok(Next::Fail(Fault::Crowded));
        } else {
            None
        };
        self.position.next =
            request.map(|(since, first)| NextPage::Time { since: since.as_millis(), first });
        Ok(request
            .map_or(Next::Nothing, |(since, first)| Next::Page(Request::Since { since, first })))
    }

    fn by_link(&mut self, page: &PageFacts) -> Next {
        if let Request::Link(url) = &self.request {
            self.asked.insert(url.to_string());
        }
        let Some(link) = &page.link else {
            self.position.next = None;
            return Next::Nothing;
        };
        // The link of a page without records is where new records will be.
        if page.records != 0 && self.asked.contains(link) {
            return Next::Fail(Fault::Loop);
        }
        self.position.next = Some(NextPage::Link { url: link.clone() });
        match Url::parse(link) {
            Ok(url) if page.records != 0 => Next::Page(Request::Link(url)),
            _ => Next::Nothing,
        }
    }

    fn by_cursor(&mut self, page: &PageFacts) -> Next {
        if let Request::Cursor(cursor) = &self.request {
            self.asked.insert(cursor.clone());
        }
        // A provider that gives no cursor at its end is asked with the same one again.
        let Some(cursor) = &page.cursor else { return Next::Nothing };
        if page.records != 0 && self.asked.contains(cursor) {
            return Next::Fail(Fault::Loop);
        }
        self.position.next = Some(NextPage::Cursor { cursor: cursor.clone() });
        if page.records == 0 {
            return Next::Nothing;
        }
        Next::Page(Request::Cursor(cursor.clone()))
    }

    /// Begins anew at the base, if the provider does not know the page that the position names.
    /// Returns `false` if the round must fail instead.
    pub(super) fn forget_place(&mut self, fault: &Fault) -> bool {
        let is_place = matches!(self.request, Request::Link(_) | Request::Cursor(_));
        let forgets = self.is_first && is_place && fault.is_gone();
        if forgets {
            (self.position.begun, self.position.next) = (None, None);
            self.request = self.at_base();
        }
        forgets
    }

    /// Asks for half as many records, if the answer was too large. Returns `false` if that cannot be.
    pub(super) fn ask_for_less(&mut self, fault: &Fault) -> bool {
        let template = match &self.request {
            Request::Link(_) => return false,
            Request::Since { .. } => self.url.start.as_ref().unwrap_or(&self.url.template),
            Request::Cursor(_) => &self.url.template,
        };
        let is_too_large = matches!(fault, Fault::TooLarge(_));
        let can = is_too_large && 1 < self.page_size && template.has(Placeholder::Max);
        if can {
            self.page_size /= 2;
        }
        can
    }
}

enum Next {
    Nothing,
    Page(Request),
    Fail(Fault),
}

/// Writes a time for a URL. Parts of a unit are left out, so the time is never later.
fn written(at: Timestamp, format: TimeFormat) -> String {
    match format {
        TimeFormat::Ms => at.as_millis().to_string(),
        TimeFormat::S => at.as_secs().to_string(),
        TimeFormat::Rfc3339 => at.to_rfc3339(),
    }
}

/// Returns the time from which the next page is asked for: one unit before the newest record, because a
/// provider may leave out records of the very time that is asked for.
fn just_before(newest: Timestamp, format: TimeFormat) -> Timestamp {
    match format {
        TimeFormat::Ms | TimeFormat::Rfc3339 => newest - Duration::from_millis(1),
        TimeFormat::S => Timestamp::from_millis(newest.as_secs() * 1000) - Duration::from_secs(1),
    }
}

#[cfg(test)]
mod tests;
