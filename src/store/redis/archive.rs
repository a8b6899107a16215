//! Settled SETs: dead letters and sent SETs, and putting them into the outbox again.

use async_trait::async_trait;

use super::{
    RedisStore,
    codec::{self, set::SetEntry},
    outbox::Found,
    script,
    slots::{Slots, together},
};
use crate::{
    delivery::outbox::Seq,
    domain::{
        id::{Jti, ProviderName, StreamId},
        time::Timestamp,
    },
    store::{
        StoreError,
        archive::{Archive, DeadCount, DeadFilter, KeptSet, Page, PageToken, Requeue, Since},
    },
};

/// The most SETs that one call looks at, and one script.
const SCAN_MAX: usize = 10_000;
const CHUNK: usize = 200;

/// A page ends with the SET whose claims bring the claims of the page to this number of bytes.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// The most streams that are named together.
const STREAMS_MAX: usize = 64;

/// How far the clock may have been set back without a SET being missed that was accepted before.
const CLOCK_SLACK: std::time::Duration = std::time::Duration::from_hours(1);

/// The place where a page ended.
#[derive(Debug, Clone, Default)]
struct PlaceInSlots {
    /// The last number of the stream at the time when its first SET was read. Empty before that.
    up_to: String,
    seq: i64,
    stream: String,
    provider: String,
}

impl PlaceInSlots {
    fn of(token: Option<&PageToken>) -> Result<Self, StoreError> {
        let Some(PageToken(raw)) = token else { return Ok(Self::default()) };
        let mut parts = raw.splitn(3, '.');
        let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok());
        let (up_to, seq) = (number(), number());
        let names = parts.next().and_then(|names| names.split_once('|'));
        match (up_to, seq, names) {
            (Some(up_to), Some(seq), Some((provider, stream))) => Ok(Self {
                up_to: codec::digits(up_to),
                seq,
                stream: stream.to_owned(),
                provider: provider.to_owned(),
            }),
            _ => Err(StoreError::NoSuchPage),
        }
    }

    fn token(&self) -> PageToken {
        let Self { up_to, seq, stream, provider } = self;
        let up_to = up_to.trim_start_matches('0');
        PageToken(format!("0{up_to}.{seq}.{provider}|{stream}"))
    }
}

/// A page that is being filled.
struct Paging<'a> {
    slots: &'a Slots,
    /// The name of the list with the SETs, as in `page.lua`.
    listed: &'static str,
    limit: usize,
    scanned: usize,
    bytes: usize,
    sets: Vec<KeptSet>,
    place: PlaceInSlots,
}

impl<'a> Paging<'a> {
    fn new(slots: &'a Slots, listed: &'static str, place: PlaceInSlots, limit: usize) -> Self {
        Self { slots, listed, limit, scanned: 0, bytes: 0, sets: Vec::new(), place }
    }

    fn is_over(&self) -> bool {
        self.limit <= self.sets.len() || SCAN_MAX <= self.scanned || PAGE_BYTES_MAX <= self.bytes
    }

    /// Reads the SETs of a stream behind the place, until the page is full or there are no more SETs.
    async fn walk(
        &mut self,
        stream: &StreamId,
        wanted: &(dyn Fn(&KeptSet) -> bool + Sync),
    ) -> Result<(), StoreError> {
        while !self.is_over() {
            let call = self.slots.call_for(&script::PAGE, stream).arg(self.listed);
            let call = call.arg(codec::digits(self.place.seq)).arg(&self.place.up_to);
            let call = call.arg(CHUNK).arg(PAGE_BYTES_MAX / 8);
            let answer: Option<Vec<Vec<u8>>> = self.slots.run(call).await?;
            let Some(answer) = answer else { return Ok(()) };
            let [provider, up_to, sets @ ..] = &answer[..] else {
                return Err(codec::unreadable("a page"));
            };
            let provider = String::from_utf8_lossy(provider).into_owned();
            self.place.up_to = String::from_utf8_lossy(up_to).into_owned();
            self.place.provider.clone_from(&provider);
            stream.as_str().clone_into(&mut self.place.stream);
            let provider: ProviderName = codec::parsed(provider)?;
            if sets.is_empty() {
                return Ok(());
            }
            for found in Found::all(sets)? {
                if self.is_over() {
                    return Ok(());
                }
                let set = kept(found, stream, &provider);
                self.scanned += 1;
                self.place.seq = set.seq.0;
                if wanted(&set) {
                    self.bytes += set.claims.as_ref().map_or(0, |claims| claims.len());
                    self.sets.push(set);
                }
            }
        }
        Ok(())
    }

    /// Nothing may be left behind a page that is over, which the next one then tells.
    fn end(self) -> Page {
        let next = self.is_over().then(|| self.place.token());
        Page { sets: self.sets, next }
    }
}

fn kept(found: Found, stream: &StreamId, provider: &ProviderName) -> KeptSet {
    let SetEntry { kind, appended_at, accepted_at, jti, copy_of, claims, .. } = found.set;
    KeptSet {
        provider: provider.clone(),
        stream: stream.clone(),
        seq: found.seq,
        jti,
        copy_of,
        claims,
        accepted_at,
        appended_at,
        kind,
        attempts: found.state.attempts,
        state: found.state.state,
    }
}

#[async_trait]
impl Archive for RedisStore {
    async fn dead_letters(
        &self,
        filter: DeadFilter,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let Self { slots, .. } = self;
        let after = after.as_ref();
        if let Some(jti) = &filter.jti {
            let mut sets = of_jti(slots, jti).await?;
            sets.retain(|set| filter.means(set));
            return Ok(Page { sets, next: None });
        }
        let wanted = |set: &KeptSet| filter.means(set);
        let mut page = Paging::new(slots, "letters", PlaceInSlots::of(after)?, limit);
        if let Some(stream) = &filter.stream {
            page.walk(stream, &wanted).await?;
            return Ok(page.end());
        }
        // The rest of where the last page ended, then what lies behind.
        if !page.place.stream.is_empty() {
            let stream = codec::parsed(page.place.stream.clone())?;
            page.walk(&stream, &wanted).await?;
        }
        while !page.is_over() {
            let next = next_streams(slots, &page.place, filter.provider.as_ref()).await?;
            let Some((provider, stream)) = next.last().cloned() else { break };
            for (_, stream) in next {
                if page.is_over() {
                    return Ok(page.end());
                }
                (page.place.seq, page.place.up_to) = (0, String::new());
                page.walk(&stream, &wanted).await?;
            }
            if !page.is_over() {
                // A stream that has gone meanwhile must not be named again.
                page.place.provider = provider;
                stream.as_str().clone_into(&mut page.place.stream);
            }
        }
        Ok(page.end())
    }

    async fn retained(
        &self,
        stream: &StreamId,
        since: Since,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let Self { slots, .. } = self;
        let after = after.as_ref();
        let mut place = PlaceInSlots::of(after)?;
        if after.is_none() {
            let about = codec::time(since.accepted_at - CLOCK_SLACK);
            let call = slots.call_for(&script::FIRST_KEPT, stream).arg(about);
            let first: Vec<u8> = slots.run(call).await?;
            if first.is_empty() {
                return Ok(Page { sets: Vec::new(), next: None });
            }
            place.seq = codec::seq(&first)?.0.max(since.seq.0).saturating_sub(1);
        }
        let mut page = Paging::new(slots, "kept", place, limit);
        page.walk(stream, &|set| since.accepted_at <= set.accepted_at).await?;
        Ok(page.end())
    }

    async fn requeue(
        &self,
        stream: &StreamId,
        sets: Vec<Requeue>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let Self { slots, .. } = self;
        let mut count = 0;
        for sets in sets.chunks(CHUNK) {
            let mut call = slots.call_for(&script::REQUEUE, stream).arg(codec::time(now));
            for set in sets {
                match set {
                    Requeue::Same(Seq(seq)) => call.push(("same", codec::digits(*seq), "", "")),
                    Requeue::Copy { of: Seq(seq), jti, claims } => {
                        call.push(("copy", codec::digits(*seq), jti.as_str(), &**claims));
                    }
                }
            }
            count += slots.run::<usize>(call).await?;
        }
        Ok(count)
    }

    async fn purge(&self, stream: &StreamId, sets: Vec<Seq>) -> Result<usize, StoreError> {
        let Self { slots, .. } = self;
        let mut count = 0;
        for sets in sets.chunks(CHUNK) {
            let mut call = slots.call_for(&script::PURGE, stream);
            call.push_all(sets.iter().map(|seq| codec::digits(seq.0)));
            count += slots.run::<usize>(call).await?;
        }
        Ok(count)
    }

    async fn dead_counts(&self) -> Result<Vec<DeadCount>, StoreError> {
        let Self { slots, .. } = self;
        let all: Vec<Vec<(String, String, u64)>> =
            slots.run_on_all(&script::DEAD_COUNTS, |call| call).await?;
        let mut counts = std::collections::BTreeMap::new();
        for (provider, reason, sets) in all.into_iter().flatten() {
            *counts.entry((codec::parsed::<ProviderName>(provider)?, reason)).or_default() += sets;
        }
        let counts = counts.into_iter();
        Ok(counts
            .map(|((provider, reason), sets)| DeadCount { provider, reason: reason.into(), sets })
            .collect())
    }

    async fn sets_of_jti(&self, jti: &Jti) -> Result<Vec<KeptSet>, StoreError> {
        of_jti(&self.slots, jti).await
    }

    async fn kept_sets(&self, sets: Vec<(StreamId, Jti)>) -> Result<Vec<KeptSet>, StoreError> {
        let Self { slots, .. } = self;
        let calls = sets.iter().map(|(stream, jti)| {
            slots.run::<Option<Vec<Vec<u8>>>>(
                slots.call_for(&script::KEPT, stream).arg(jti.as_str()),
            )
        });
        let answers = together(calls.collect()).await?;
        let mut found = Vec::new();
        for ((stream, _), answer) in sets.iter().zip(answers) {
            let Some(answer) = answer else { continue };
            let (provider, sets) = answer.split_first().ok_or(codec::unreadable("a SET"))?;
            let provider = codec::parsed(String::from_utf8_lossy(provider).into_owned())?;
            found.extend(Found::all(sets)?.into_iter().map(|found| kept(found, stream, &provider)));
        }
        Ok(found)
    }
}

/// Returns the streams with dead letters behind a place, in the order of provider and id.
async fn next_streams(
    slots: &Slots,
    place: &PlaceInSlots,
    of: Option<&ProviderName>,
) -> Result<Vec<(String, StreamId)>, StoreError> {
    let from = match of {
        _ if !place.stream.is_empty() => format!("({}|{}", place.provider, place.stream),
        Some(provider) => format!("[{provider}|"),
        None => "-".to_owned(),
    };
    // `}` is the next character behind `|`.
    let up_to = of.map_or("+".to_owned(), |provider| format!("({provider}}}"));
    let find = slots.run_on_all(&script::DEAD, |call| call.arg(&from).arg(&up_to).arg(STREAMS_MAX));
    let found: Vec<Vec<String>> = find.await?;
    let mut found: Vec<String> = found.into_iter().flatten().collect();
    // Of those behind, some slots have more to name, but none before the last of the first.
    found.sort();
    found.truncate(STREAMS_MAX);
    let split = |member: String| {
        let (provider, stream) = member.split_once('|').ok_or(codec::unreadable("a name"))?;
        Ok((provider.to_owned(), codec::parsed(stream.to_owned())?))
    };
    found.into_iter().map(split).collect()
}

pub(super) async fn of_jti(slots: &Slots, jti: &Jti) -> Result<Vec<KeptSet>, StoreError> {
    type Named = (String, String, Vec<u8>, Vec<u8>, Vec<u8>);
    let find = slots.run_on_all(&script::OF_JTI, |call| call.arg(jti.as_str()));
    let found: Vec<Vec<Named>> = find.await?;
    let mut sets = Vec::new();
    for (stream, provider, seq, set, state) in found.into_iter().flatten() {
        let (stream, provider) = (codec::parsed(stream)?, codec::parsed(provider)?);
        for found in Found::all(&[seq, set, state])? {
            sets.push(kept(found, &stream, &provider));
        }
    }
    sets.sort_by(|a, b| a.stream.cmp(&b.stream));
    Ok(sets)
}
