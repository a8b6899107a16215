//! Refuses a database that lies beside a write-ahead log which is not its own.
//!
//! A daemon that was killed leaves a log with commits. If somebody then copies a backup over the
//! database, SQLite would apply the commits of one database to the pages of another. The check reads the
//! files itself, because SQLite applies the log as soon as it opens them. The format of the log is that of
//! <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use super::log_mark::LogMark;

const LOG_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const PAGE_BYTES_MAX: u32 = 65536;
/// The first bytes of a log whose checksums read its words with the low byte first. With the lowest bit
/// set, they read the high byte first.
const LOG_MAGIC: u32 = 0x377f_0682;
/// The place of the counter of changes of the schema in the first page.
const SCHEMA_AT: std::ops::Range<usize> = 40..44;
/// A daemon may be writing while a command checks the files. So a mismatch is looked at again.
const LOOKS_MAX: u32 = 3;

/// Why a log does not belong to the database beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ForeignLog {
    #[error("has commits, and the database is missing or empty")]
    NoDatabase,
    #[error("belongs to another database")]
    OtherDatabase,
    #[error("began after later commits than this database has, so this is an earlier state of it")]
    EarlierDatabase,
    #[error("ended before commits that this database has, so this is a later state of it")]
    LaterDatabase,
    #[error("belongs to the database of which this one is a copy")]
    Copy,
}

/// The commits of a log.
#[derive(Debug, Default, PartialEq, Eq)]
struct Log {
    /// The salts of its header, which SQLite changes when the log begins anew.
    salts: [u8; 8],
    page_bytes: u64,
    has_commits: bool,
    /// The number of the page with the mark, and the first and the last mark.
    marks: Option<(u32, LogMark, LogMark)>,
    /// The counters of changes of the schema that any of its commits has.
    schemas: Vec<u32>,
}

/// The database file without its log.
#[derive(Debug, Default)]
struct Main {
    is_empty: bool,
    schema: u32,
    mark: Option<LogMark>,
}

/// Returns the path of a file that SQLite keeps beside the database.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

pub(super) fn log_path(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

/// Compares the database with the log beside it, if there is one. A daemon may use both meanwhile.
pub(super) fn check(database: &Path) -> io::Result<Result<(), ForeignLog>> {
    let path = log_path(database);
    let mut looks = 0;
    loop {
        looks += 1;
        let Some(before) = read_log(&path)? else { return Ok(Ok(())) };
        // The database is read before the log is read for good: a commit reaches the database from the
        // log, so that the log then has everything that the database has.
        let main = read_main(database, &before)?;
        let log = match read_log(&path)? {
            Some(log) if log.salts == before.salts => log,
            // The log began anew meanwhile, which only a running daemon does.
            _ if looks < LOOKS_MAX => continue,
            _ => return Ok(Ok(())),
        };
        let judged = judge(&log, &main);
        if judged.is_ok() || LOOKS_MAX <= looks {
            return Ok(judged);
        }
    }
}

fn judge(log: &Log, main: &Main) -> Result<(), ForeignLog> {
    if !log.has_commits {
        return Ok(());
    }
    if main.is_empty {
        // SQLite would delete the log.
        return Err(ForeignLog::NoDatabase);
    }
    // A log without a mark was written before there were marks.
    let Some((_, first, last)) = log.marks else { return Ok(()) };
    match main.mark {
        // The database was made before there were marks, and the log gave it its first one.
        None if first.commits == 0 => Ok(()),
        None => Err(ForeignLog::OtherDatabase),
        Some(mark) if mark.lineage != first.lineage => Err(ForeignLog::OtherDatabase),
        // When the log began, the database had every earlier commit.
        Some(mark) if mark.commits.saturating_add(1) < first.commits => {
            Err(ForeignLog::EarlierDatabase)
        }
        Some(mark) if last.commits < mark.commits => Err(ForeignLog::LaterDatabase),
        Some(mark) if main.schema != mark.schema && !log.schemas.contains(&main.schema) => {
            Err(ForeignLog::Copy)
        }
        Some(_) => Ok(()),
    }
}

/// Reads what is needed of the database. `log` names the page of the mark.
fn read_main(database: &Path, log: &Log) -> io::Result<Main> {
    let mut file = match File::open(database) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Main { is_empty: true, ..Main::default() });
        }
        file => file?,
    };
    let mut page = vec![0; usize::try_from(log.page_bytes).expect("at most 64 KiB")];
    if !fill(&mut file, &mut page)? {
        return Ok(Main { is_empty: file.metadata()?.len() == 0, ..Main::default() });
    }
    let schema = be_u32(&page[SCHEMA_AT]);
    let mut mark = None;
    if let Some((number, first, _)) = log.marks {
        file.seek(SeekFrom::Start((u64::from(number) - 1) * log.page_bytes))?;
        if fill(&mut file, &mut page)? {
            mark = LogMark::of_page(&page);
        }
        if mark.is_none() {
            mark = moved_mark(&mut file, &mut page, first.lineage)?;
        }
    }
    Ok(Main { is_empty: false, schema, mark })
}

/// Searches all pages for the mark, which `VACUUM` moves. A free page may have an earlier one.
fn moved_mark(file: &mut File, page: &mut [u8], lineage: [u8; 16]) -> io::Result<Option<LogMark>> {
    file.seek(SeekFrom::Start(0))?;
    let mut pages = BufReader::with_capacity(1 << 20, file);
    let mut latest: Option<LogMark> = None;
    while fill(&mut pages, page)? {
        let mark = LogMark::of_page(page).filter(|mark| mark.lineage == lineage);
        if mark.is_some_and(|mark| latest.is_none_or(|latest| latest.commits < mark.commits)) {
            latest = mark;
        }
    }
    Ok(latest)
}

/// Reads the log up to its last whole commit, as SQLite does. Returns `None` if there is no log, or none
/// that SQLite would read.
fn read_log(path: &Path) -> io::Result<Option<Log>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut header = [0; LOG_HEADER_BYTES];
    if !fill(&mut file, &mut header)? {
        return Ok(None);
    }
    let (magic, page_bytes) = (be_u32(&header[..4]), be_u32(&header[8..12]));
    let mut sum = Checksum { high_first: magic & 1 == 1, words: (0, 0) };
    sum.add(&header[..24]);
    if magic & !1 != LOG_MAGIC
        || !page_bytes.is_power_of_two()
        || !(512..=PAGE_BYTES_MAX).contains(&page_bytes)
        || !sum.is(&header[24..])
    {
        return Ok(None);
    }
    let salts = header[16..24].try_into().expect("eight bytes");
    let mut log = Log { salts, page_bytes: page_bytes.into(), ..Log::default() };
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes as usize];
    let mut transaction = Transaction::default();
    while fill(&mut file, &mut frame)? {
        let (head, page) = frame.split_at(FRAME_HEADER_BYTES);
        sum.add(&head[..8]);
        sum.add(page);
        if head[8..16] != salts || !sum.is(&head[16..]) {
            break;
        }
        transaction.see(be_u32(&head[..4]), page, &log);
        // The size of the database after a commit; 0 within a transaction.
        if be_u32(&head[4..8]) != 0 {
            std::mem::take(&mut transaction).commit(&mut log);
        }
    }
    Ok(Some(log))
}

/// The mark and the schema counter that a transaction of the log has written so far.
#[derive(Default)]
struct Transaction {
    mark: Option<(u32, LogMark)>,
    schema: Option<u32>,
}

impl Transaction {
    fn see(&mut self, number: u32, page: &[u8], log: &Log) {
        if number == 1 {
            self.schema = Some(be_u32(&page[SCHEMA_AT]));
        }
        let may_have_it = log.marks.is_none_or(|(marked, ..)| marked == number);
        if may_have_it && let Some(mark) = LogMark::of_page(page) {
            self.mark = Some((number, mark));
        }
    }

    fn commit(self, log: &mut Log) {
        log.has_commits = true;
        let schema = self.mark.map(|(_, mark)| mark.schema);
        for schema in self.schema.into_iter().chain(schema) {
            if !log.schemas.contains(&schema) {
                log.schemas.push(schema);
            }
        }
        if let Some((number, mark)) = self.mark {
            let (number, first) = log.marks.map_or((number, mark), |(n, first, _)| (n, first));
            log.marks = Some((number, first, mark));
        }
    }
}

/// The checksum of a log, which each frame continues.
struct Checksum {
    high_first: bool,
    words: (u32, u32),
}

impl Checksum {
    /// Adds bytes, whose number is a multiple of eight.
    fn add(&mut self, bytes: &[u8]) {
        let (mut one, mut two) = self.words;
        let (words, _) = bytes.as_chunks::<4>();
        let word = |bytes: [u8; 4]| {
            if self.high_first { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        for pair in words.chunks_exact(2) {
            one = one.wrapping_add(word(pair[0])).wrapping_add(two);
            two = two.wrapping_add(word(pair[1])).wrapping_add(one);
        }
        self.words = (one, two);
    }

    fn is(&self, stored: &[u8]) -> bool {
        self.words == (be_u32(&stored[..4]), be_u32(&stored[4..8]))
    }
}

fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// Fills the buffer. Returns whether the file had enough bytes.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

#[cfg(test)]
mod tests;
