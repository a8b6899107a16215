//! Writes the differences of two stores into the target.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    AT_ONCE, BATCH, Comparison, CopyError, CopyStep, Progress, Tell,
    reading::{Pages, StreamReader, streams},
};
use crate::store::{
    StoreError,
    portable::{Apart, Item, Portable},
};

/// Makes the target equal to the source.
pub(super) struct Writing<'a> {
    source: &'a dyn Portable,
    target: &'a dyn Portable,
    before: &'a Comparison,
    tell: Tell<'a>,
    batch: Vec<Item>,
    written: u64,
}

impl<'a> Writing<'a> {
    pub(super) fn new(
        source: &'a dyn Portable,
        target: &'a dyn Portable,
        before: &'a Comparison,
        tell: Tell<'a>,
    ) -> Self {
        Self { source, target, before, tell, batch: Vec::new(), written: 0 }
    }

    pub(super) async fn write(mut self) -> Result<(), CopyError> {
        for kind in Apart::ALL {
            if self.before.differs_in(kind) {
                self.write_apart(kind).await?;
            }
        }
        self.remove_streams().await?;
        self.write_streams().await
    }

    async fn write_apart(&mut self, kind: Apart) -> Result<(), CopyError> {
        self.target.clear(kind).await.map_err(CopyError::Target)?;
        let mut pages = Pages::of(self.source, kind);
        while let Some(records) = pages.next().await.map_err(CopyError::Source)? {
            self.take(records).await?;
        }
        self.flush().await
    }

    async fn remove_streams(&self) -> Result<(), CopyError> {
        let differing = self.before.differing.iter().map(|differing| &differing.stream);
        let removed = differing.chain(&self.before.others).map(|id| self.target.delete_stream(id));
        let mut removed = stream::iter(removed).buffer_unordered(AT_ONCE);
        while removed.try_next().await.map_err(CopyError::Target)?.is_some() {}
        Ok(())
    }

    async fn write_streams(&mut self) -> Result<(), CopyError> {
        let source = self.source;
        let mut streams = streams(source).await.map_err(CopyError::Source)?;
        let differing = self.before.differing.iter();
        let streams = differing.filter_map(|one| streams.remove(&one.stream));
        let begun = streams.map(|stream| async move {
            let mut reading = StreamReader::new(source, stream);
            let first = reading.next().await?;
            Ok::<_, StoreError>((reading, first))
        });
        let mut begun = stream::iter(begun).buffered(AT_ONCE);
        while let Some((mut reading, mut records)) =
            begun.try_next().await.map_err(CopyError::Source)?
        {
            while !records.is_empty() {
                self.take(records).await?;
                records = reading.next().await.map_err(CopyError::Source)?;
            }
        }
        self.flush().await
    }

    async fn take(&mut self, records: Vec<Item>) -> Result<(), CopyError> {
        self.batch.extend(records);
        if BATCH <= self.batch.len() { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), CopyError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.written += batch.len() as u64;
        self.target.put(batch).await.map_err(CopyError::Target)?;
        let of = self.before.records_to_write();
        (self.tell)(Progress { step: CopyStep::Write, done: self.written, of });
        Ok(())
    }
}
