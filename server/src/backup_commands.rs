//! `tacit-server backup` and `restore`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tacit_server::Clock;
use tacit_server::backup::{self, Backups, Contents, Extras, Restored};
use tacit_server::control::{AskError, fetch_backup};

use crate::Failure;
use crate::args::{Backup, Restore};

pub(crate) fn backup(args: &Backup) -> Result<(), Failure> {
    let data = args.place.settings()?.data();
    let configuration = args.place.config_file().map(fs::read_to_string).transpose()?;
    // Beside its place until it is whole: an older backup stays until then.
    let draft = args.file.with_extension("unfinished");
    let contents = write_private(&draft, |file| {
        match fetch_backup(&data, configuration.clone(), file) {
            Err(AskError::NotRunning) => back_up_folder(&data, configuration.as_deref(), file)?,
            fetched => fetched?,
        }
        file.sync_all()?;
        Ok(backup::check(File::open(&draft)?)?)
    });
    let contents = contents.inspect_err(|_| drop(fs::remove_file(&draft)))?;
    fs::rename(&draft, &args.file)?;
    let mut out = io::stdout().lock();
    writeln!(out, "Written and read back: {}.", told(&contents))?;
    writeln!(
        out,
        "It has no boxes and no keys to boxes. It does say how many channels there are: keep it as safe as the relay."
    )?;
    Ok(())
}

/// The backup of a relay that does not run.
fn back_up_folder(data: &Path, configuration: Option<&str>, out: &mut File) -> Result<(), Failure> {
    let backups = Backups::of_folder(data)?;
    let files = backup::kept_files(data)?;
    backups.write(Extras { configuration, files: &files }, out)?;
    Ok(())
}

pub(crate) fn restore(args: &Restore) -> Result<(), Failure> {
    let settings = args.place.settings()?;
    let (data, config) = (settings.data(), settings.config()?);
    let file = File::open(&args.file).map_err(|error| format!("{}: {error}", args.file.display()))?;
    // First of all: a folder that was restored once is not restored again.
    let new_config = args.write_config.as_deref().map(|path| Ok::<_, Failure>((path, new_file(path)?))).transpose()?;
    let restored = backup::restore(file, &data, config.limits.hold, &Clock::default());
    if let (Err(_), Some((path, _))) = (&restored, &new_config) {
        drop(fs::remove_file(path));
    }
    let Restored { contents, closed_invites, configuration, .. } = restored?;
    let mut out = io::stdout().lock();
    writeln!(out, "Restored into {}: {}.", data.display(), told(&contents))?;
    if closed_invites > 0 {
        writeln!(
            out,
            "{closed_invites} invites that nobody had used are closed: their therapists are told, and make new ones."
        )?;
    }
    match (new_config, configuration) {
        (Some((path, mut file)), Some(text)) => {
            file.write_all(text.as_bytes())?;
            writeln!(out, "The configuration is in {}.", path.display())?;
        }
        (Some((path, _)), None) => {
            fs::remove_file(path)?;
            writeln!(out, "There is no configuration in the backup: the relay was configured without a file.")?;
        }
        (None, Some(_)) => {
            writeln!(out, "The configuration in the backup was not used; --write-config FILE writes it.")?
        }
        (None, None) => {}
    }
    writeln!(
        out,
        "When the relay starts, devices resend what was never receipted. Channels opened since the backup are lost to it:"
    )?;
    writeln!(out, "those devices keep everything they have, say that they are locked out, and need a new invite.")?;
    Ok(())
}

/// A file that was not there yet, and the folders above it.
fn new_file(path: &Path) -> Result<File, Failure> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    let opened = made.and_then(|()| OpenOptions::new().write(true).create_new(true).open(path));
    Ok(opened.map_err(|error| format!("{}: {error}", path.display()))?)
}

fn write_private<T>(path: &Path, write: impl FnOnce(&mut File) -> Result<T, Failure>) -> Result<T, Failure> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    write(&mut opened.map_err(|error| format!("{}: {error}", path.display()))?)
}

fn told(contents: &Contents) -> String {
    let Contents { channels, permits, spent_codes, offers } = contents;
    format!("{channels} channels, {permits} permits to open more, {offers} unused and {spent_codes} used enrolments")
}
