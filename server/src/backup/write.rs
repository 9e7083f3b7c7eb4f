//! Writing a backup while the relay runs.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::lines::{FileLine, Head, Line, Tally, VERSION};
use super::{Contents, KeptFile};
use crate::Enrolments;
use crate::spool::{DataDir, RedbSpool, Spool, SpoolError};

/// What a relay's backup is made from.
#[derive(Clone)]
pub struct Backups {
    spool: Arc<dyn Spool>,
    enrolments: Enrolments,
}

/// What a backup has besides what the relay itself stores.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// The text of the configuration file.
    pub configuration: Option<&'a str>,
    /// Files of the data folder.
    pub files: &'a [KeptFile],
}

/// Why a backup was not finished. What was written of it is of no use, and is refused when it is restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The folder of open enrolments.
    #[error("the open enrolments cannot be read: {0}; check the data folder")]
    Enrolments(io::Error),
    /// A file of the data folder that belongs in it.
    #[error(
        "{name} cannot be read: {source}; no device would know the restored relay without it; check the data folder"
    )]
    Kept {
        /// Its name.
        name: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Where the backup goes.
    #[error("the backup cannot be written: {0}; give another place, or free some space")]
    Write(#[from] io::Error),
}

impl Backups {
    /// Backups of the relay that stores here.
    #[must_use]
    pub fn of(spool: Arc<dyn Spool>, enrolments: Enrolments) -> Self {
        Self { spool, enrolments }
    }

    /// Backups of the relay whose data folder this is, and which does not run.
    ///
    /// # Errors
    /// [`BackupError::Spool`] with [`SpoolError::NoSpool`] if no relay's data is there; nothing is made then.
    pub fn of_folder(data: &Path) -> Result<Self, BackupError> {
        let (spool, _) = RedbSpool::open_on(DataDir::open_existing(data)?)?;
        let enrolments = Enrolments::open(data).map_err(BackupError::Enrolments)?;
        Ok(Self::of(Arc::new(spool), enrolments))
    }

    /// Writes a backup, as of one moment; a row at a time is in memory. Blocking: not to be called from async code.
    ///
    /// # Errors
    /// [`BackupError`], which says what to do.
    pub fn write(&self, extras: Extras<'_>, out: impl Write) -> Result<Contents, BackupError> {
        let mut out = Lines { out: io::BufWriter::new(out), tally: Tally::default() };
        let mut contents = Contents::default();
        out.line(&Line::TacitBackup(Head { version: VERSION }))?;
        if let Some(text) = extras.configuration {
            out.line(&Line::Configuration(text.to_owned()))?;
        }
        for KeptFile { name, text } in extras.files {
            out.line(&Line::File(FileLine { name: name.clone(), text: text.clone() }))?;
        }
        // Before the rows: a code that is spent meanwhile is then in the backup twice, and not missing.
        for (code, offer) in self.enrolments.open_offers().map_err(BackupError::Enrolments)? {
            contents.offers += 1;
            out.line(&Line::of_offer(&code, offer))?;
        }
        let mut failed = None;
        self.spool.snapshot(&mut |row| {
            contents.count(&row);
            match out.line(&Line::of_row(&row)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        match failed {
            Some(error) => Err(error.into()),
            None => {
                out.end()?;
                Ok(contents)
            }
        }
    }
}

struct Lines<W: Write> {
    out: io::BufWriter<W>,
    tally: Tally,
}

impl<W: Write> Lines<W> {
    fn line(&mut self, line: &Line) -> io::Result<()> {
        let bytes = line.to_bytes()?;
        self.tally.add(&bytes);
        self.out.write_all(&bytes)
    }

    fn end(mut self) -> io::Result<()> {
        let end = self.tally.end()?;
        self.out.write_all(&end)?;
        self.out.flush()
    }
}
