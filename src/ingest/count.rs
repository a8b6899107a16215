//! How many entries were added to a partition up to the place where it is read. The count makes the group's
//! lag right, and shows when entries were trimmed before they were read.

use std::collections::VecDeque;

use crate::store::EntryId;

/// Counts the entries up to the place where a partition is read, and up to the places before it that may
/// still be shown.
#[derive(Debug)]
pub(super) struct ReadCount {
    /// Up to where was read. `None` while it is not known.
    read: Option<u64>,
    /// The ends of batches that are not known to be durable, in order, each with its count.
    ends: VecDeque<(EntryId, Option<u64>)>,
}

impl ReadCount {
    /// `count` is the number of entries up to `start`, if it is known.
    pub(super) fn new(start: EntryId, count: Option<u64>) -> Self {
        Self { read: count, ends: VecDeque::from([(start, count)]) }
    }

    /// Notes that so many entries were read, the last one with this id.
    pub(super) fn on_read(&mut self, entries: usize, up_to: EntryId) {
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        self.read = self.read.map(|read| read.saturating_add(entries));
        self.ends.push_back((up_to, self.read));
    }

    /// Compares the count with the number of entries that were added before the next one that can be
    /// read. Returns how many of them were never read.
    pub(super) fn compare(&mut self, added_before_next: Option<u64>) -> u64 {
        let Some(added) = added_before_next else { return 0 };
        let missing = self.read.map_or(0, |read| added.saturating_sub(read));
        self.read = Some(added);
        if let Some((_, count)) = self.ends.back_mut() {
            *count = self.read;
        }
        missing
    }

    /// Returns the count up to an entry where a batch ended. Ends before it are asked for no more.
    pub(super) fn up_to(&mut self, entry: EntryId) -> Option<u64> {
        while self.ends.len() > 1 && self.ends[0].0 < entry {
            self.ends.pop_front();
        }
        let (end, count) = self.ends.front()?;
        count.filter(|_| *end == entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(millis: u64) -> EntryId {
        EntryId { millis, number: 0 }
    }

    #[test]
    fn each_end_of_a_batch_has_its_count() {
        let mut count = ReadCount::new(id(0), Some(0));
        count.on_read(3, id(3));
        count.on_read(2, id(5));
        assert_eq!(count.up_to(id(0)), Some(0));
        assert_eq!(count.up_to(id(3)), Some(3));
        assert_eq!(count.up_to(id(4)), None, "no end");
        assert_eq!(count.up_to(id(5)), Some(5));
        assert_eq!(count.ends.len(), 1);
    }

    #[test]
    fn entries_that_are_gone_are_missing_once() {
        let mut count = ReadCount::new(id(0), Some(0));
        assert_eq!(count.compare(Some(0)), 0);
        assert_eq!(count.compare(Some(90)), 90);
        assert_eq!(count.compare(Some(90)), 0);
        count.on_read(10, id(100));
        assert_eq!(count.compare(None), 0);
        assert_eq!((count.compare(Some(100)), count.up_to(id(100))), (0, Some(100)));
        assert_eq!(count.compare(Some(103)), 3);
    }

    #[test]
    fn nothing_is_missing_while_the_count_is_not_known() {
        let mut count = ReadCount::new(id(40), None);
        count.on_read(2, id(42));
        assert_eq!(count.up_to(id(42)), None);
        assert_eq!(count.compare(Some(92)), 0);
        assert_eq!(count.up_to(id(42)), Some(92));
        // A server that lost entries has added fewer than were read.
        assert_eq!(count.compare(Some(50)), 0);
        assert_eq!(count.compare(Some(51)), 1);
    }
}
