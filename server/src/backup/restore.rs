//! Restoring a backup into a data folder that has no spool.
//!
//! Boxes are not in a backup, so what comes of it is a new life of the backlog: a new incarnation, upon which devices
//! resend what was never receipted. An invite that nobody had claimed is closed, because its offer is gone, and because
//! it may have been claimed after the backup.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use tacit_proto::EnrolCodeHash;

use super::lines::{FileLine, Head, Line, Tally, VERSION};
use super::{Contents, KeptFile};
use crate::Clock;
use crate::enrolment::{Enrolments, Offer, hand_over, private_file};
use crate::spool::{Aside, Hour, KeptRow, Phase, RedbSpool, SpoolError};

/// Longest line that is read: bounds the memory that a file of another kind can take.
const MAX_LINE: u64 = 4 << 20;

/// Rows in one transaction.
const ROWS: usize = 256;

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// How many of each.
    pub contents: Contents,
    /// Invites that nobody had claimed, and that are closed now.
    pub closed_invites: usize,
    /// The text of the configuration file, if the backup has it. It was not put anywhere.
    pub configuration: Option<String>,
    /// Names of the other files that were put into the data folder.
    pub files: Vec<String>,
}

/// Why a backup was not restored. The data folder has no spool, as before, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It does not begin as a backup does.
    #[error("this is not a backup of a relay")]
    NotABackup,
    /// Made by a newer version.
    #[error("this backup was written by a newer tacit-server (backup version {0}); install that version")]
    Newer(u32),
    /// A line is not what it was.
    #[error("the backup is damaged at line {line}: {what}; use another one")]
    Damaged {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The backup cannot be read.
    #[error("the backup cannot be read: {0}")]
    Read(io::Error),
    /// The spool that is to be made, or one that is there already.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A file of the backup is there already, and is another one.
    #[error("{0} is in the data folder already, and is not the one in the backup; move it away first")]
    InTheWay(String),
    /// The data folder cannot be written.
    #[error("the data folder cannot be written: {0}; free some space or check the disk, then restore again")]
    Write(io::Error),
}

/// Reads a backup to its end, and tells what is in it. Nothing is made.
///
/// # Errors
/// [`RestoreError`], which says what is wrong with it.
pub fn check(mut from: impl Read + Seek) -> Result<Contents, RestoreError> {
    let mut rest = Rest::default();
    read_items(&mut from, |item| {
        rest.take(item);
        Ok(())
    })?;
    Ok(rest.contents)
}

/// Restores a backup into a data folder, made if it is missing. The backup is read twice: it is checked to its end before
/// anything is made. The spool is put in place last, in one step; after any failure or crash before that, restore again.
///
/// # Errors
/// [`RestoreError`], which says what to do.
pub fn restore(mut from: impl Read + Seek, data: &Path, hold: u32, clock: &Clock) -> Result<Restored, RestoreError> {
    let mut rest = Rest::default();
    let checked = read_items(&mut from, |item| {
        rest.take(item);
        Ok(())
    })?;
    let Rest { contents, configuration, files, offers } = rest;
    files.iter().try_for_each(|file| is_not_in_the_way(data, file))?;

    let (storage, aside) = Aside::begin(data)?;
    let (spool, _) = RedbSpool::open_on(storage)?;
    let forget = clock.now().hour_after(hold);
    let mut import = Import { spool, rows: Vec::with_capacity(ROWS), forget, closed_invites: 0 };
    let imported = read_items(&mut from, |item| match item {
        Item::Row(row) => import.add(row),
        Item::Configuration(_) | Item::File(_) | Item::Offer(..) => Ok(()),
    })?;
    if imported != checked {
        return Err(RestoreError::Read(io::Error::other("it changed while it was read")));
    }
    let closed_invites = import.finish()?;

    let put_in_place = || {
        let enrolments = Enrolments::open(data)?;
        offers.iter().try_for_each(|(code, offer)| enrolments.add(code, *offer))?;
        files.iter().try_for_each(|file| put_file(data, file))?;
        aside.put_in_place()
    };
    put_in_place().and_then(|()| hand_over(data)).map_err(RestoreError::Write)?;
    let files = files.into_iter().map(|file| file.name).collect();
    Ok(Restored { contents, closed_invites, configuration, files })
}

/// What one line brings.
enum Item {
    Configuration(String),
    File(KeptFile),
    Offer(EnrolCodeHash, Offer),
    Row(KeptRow),
}

/// Everything but the rows, which are only counted.
#[derive(Default)]
struct Rest {
    contents: Contents,
    configuration: Option<String>,
    files: Vec<KeptFile>,
    offers: Vec<(EnrolCodeHash, Offer)>,
}

impl Rest {
    fn take(&mut self, item: Item) {
        match item {
            Item::Configuration(text) => self.configuration = Some(text),
            Item::File(file) => self.files.push(file),
            Item::Offer(code, offer) => self.offers.push((code, offer)),
            Item::Row(row) => self.contents.count(&row),
        }
        self.contents.offers = self.offers.len();
    }
}

/// Reads a backup from its beginning to its end. Returns its last line, which no other backup has.
fn read_items(
    from: &mut (impl Read + Seek),
    mut take: impl FnMut(Item) -> Result<(), RestoreError>,
) -> Result<Vec<u8>, RestoreError> {
    from.seek(SeekFrom::Start(0)).map_err(RestoreError::Read)?;
    let mut from = BufReader::new(from);
    check_head(&read_line(&mut from)?.unwrap_or_default())?;
    from.seek(SeekFrom::Start(0)).map_err(RestoreError::Read)?;
    let mut tally = Tally::default();
    loop {
        let number = tally.lines() + 1;
        let damaged = |what: &str| RestoreError::Damaged { line: number, what: what.to_owned() };
        let bytes = read_line(&mut from)?.ok_or_else(|| damaged("it is cut short before it"))?;
        let line: Line = serde_json::from_slice(&bytes).map_err(|_| damaged("it is not one of a backup's lines"))?;
        let item = match line {
            Line::TacitBackup(_) if number == 1 => None,
            Line::TacitBackup(_) => return Err(damaged("another backup begins there")),
            Line::End(_) => {
                let expected = tally.end().map_err(|_| damaged("it does not end there"))?;
                if bytes != expected {
                    return Err(damaged("what comes before it was altered"));
                }
                return match read_line(&mut from)? {
                    None => Ok(bytes),
                    Some(_) => Err(damaged("something follows it")),
                };
            }
            Line::Configuration(text) => Some(Item::Configuration(text)),
            Line::File(FileLine { name, text }) => {
                Some(Item::File(KeptFile::new(name, text).map_err(|wrong| damaged(&wrong.to_string()))?))
            }
            Line::Offer(line) => {
                let (code, offer) = line.offer();
                Some(Item::Offer(code, offer))
            }
            Line::Channel(line) => Some(Item::Row(line.row())),
            Line::Permit(line) => Some(Item::Row(line.row())),
            Line::SpentCode(line) => Some(Item::Row(line.row())),
        };
        tally.add(&bytes);
        item.map_or(Ok(()), &mut take)?;
    }
}

fn check_head(line: &[u8]) -> Result<(), RestoreError> {
    // A newer version may have lines that this one cannot read, but not another first line.
    match serde_json::from_slice(line) {
        Ok(Line::TacitBackup(Head { version: VERSION })) => Ok(()),
        Ok(Line::TacitBackup(Head { version })) if version > VERSION => Err(RestoreError::Newer(version)),
        _ => Err(RestoreError::NotABackup),
    }
}

/// One line with its line feed, or what there is without one. `None` at the end.
fn read_line(from: &mut impl BufRead) -> Result<Option<Vec<u8>>, RestoreError> {
    let mut line = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut line).map_err(RestoreError::Read)?;
    Ok(if line.is_empty() { None } else { Some(line) })
}

/// Rows on their way into the new spool.
struct Import {
    spool: RedbSpool,
    rows: Vec<KeptRow>,
    /// When the tombstones of unclaimed invites may be forgotten.
    forget: Hour,
    closed_invites: usize,
}

impl Import {
    fn add(&mut self, mut row: KeptRow) -> Result<(), RestoreError> {
        if let KeptRow::Channel(_, channel) = &mut row
            && let Phase::Unclaimed { .. } = channel.phase
        {
            channel.phase = Phase::Closed { by: None, forget: self.forget };
            self.closed_invites += 1;
        }
        self.rows.push(row);
        if self.rows.len() == ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), RestoreError> {
        self.spool.import(&self.rows)?;
        self.rows.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<usize, RestoreError> {
        self.flush()?;
        Ok(self.closed_invites)
    }
}

fn is_not_in_the_way(data: &Path, file: &KeptFile) -> Result<(), RestoreError> {
    match fs::read(data.join(file.name())) {
        Ok(there) if there != file.text().as_bytes() => Err(RestoreError::InTheWay(file.name().to_owned())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RestoreError::Write(error)),
        _ => Ok(()),
    }
}

fn put_file(data: &Path, file: &KeptFile) -> io::Result<()> {
    let path = data.join(file.name());
    let unfinished = path.with_extension("restoring");
    let mut out = private_file(&unfinished)?;
    out.write_all(file.text().as_bytes())?;
    out.sync_all()?;
    fs::rename(&unfinished, &path)
}
