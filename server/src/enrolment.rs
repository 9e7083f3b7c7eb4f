//! What the operator's `enrol` leaves for the relay: one small file per enrolment code, named by the code's hash.
//!
//! Files, so that it works whether the relay runs or not, and so that neither process needs the other's lock. The code
//! itself is in the printed link and nowhere else.

use std::fs;
use std::io::{self, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tacit_proto::EnrolCodeHash;

use crate::spool::EnrolmentId;

const FOLDER: &str = "enrolments";

/// What a code is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// How many permits may be drawn under it.
    pub permits: NonZeroU16,
    /// Until when, in seconds since the Unix epoch.
    pub expires: u64,
}

/// The folder of a relay's open enrolments.
#[derive(Clone, Debug)]
pub struct Enrolments {
    folder: PathBuf,
}

impl Enrolments {
    /// Opens the folder in a data folder. Makes both if they are missing, readable by their owner only.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(data: &Path) -> io::Result<Self> {
        let folder = data.join(FOLDER);
        make_private_folder(&folder)?;
        give_to_owner_of(data, &folder)?;
        Ok(Self { folder })
    }

    fn path(&self, code: &EnrolCodeHash) -> PathBuf {
        self.folder.join(hex::encode(code.as_bytes()))
    }

    /// Leaves an offer for the relay. When this returns, it is durable.
    ///
    /// # Errors
    /// What the file system says. No offer was left then.
    pub fn add(&self, code: &EnrolCodeHash, offer: Offer) -> io::Result<()> {
        let text = toml::to_string(&offer).map_err(io::Error::other)?;
        let path = self.path(code);
        let unfinished = path.with_extension("new");
        let mut file = private_file(&unfinished)?;
        file.write_all(text.as_bytes())?;
        give_to_owner_of(&self.folder, &unfinished)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        fs::File::open(&self.folder)?.sync_all()
    }

    /// The offer under a code. `None` if there is none, or none that makes sense.
    ///
    /// # Errors
    /// What the file system says: there may be one.
    pub(crate) fn find(&self, code: &EnrolCodeHash) -> io::Result<Option<Offer>> {
        read(&self.path(code))
    }

    /// The code was spent, or expired.
    pub(crate) fn remove(&self, code: &EnrolCodeHash) {
        if let Err(error) = fs::remove_file(self.path(code))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a used enrolment could not be removed; it is worth nothing any more");
        }
    }

    /// The codes that were not spent yet, and what each is good for.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open_offers(&self) -> io::Result<Vec<(EnrolCodeHash, Offer)>> {
        let mut offers = Vec::new();
        for code in self.codes()? {
            offers.extend(self.find(&code)?.map(|offer| (code, offer)));
        }
        offers.sort_unstable_by_key(|(code, _)| *code);
        Ok(offers)
    }

    /// Whether no code is open.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        Ok(self.open_offers()?.is_empty())
    }

    /// Removes the offer of an enrolment, if it has one: its link is worth nothing any more.
    pub(crate) fn withdraw(&self, id: EnrolmentId) -> io::Result<bool> {
        let mut withdrawn = false;
        for code in self.codes()?.into_iter().filter(|code| EnrolmentId::of(code) == id) {
            fs::remove_file(self.path(&code))?;
            withdrawn = true;
        }
        if withdrawn {
            fs::File::open(&self.folder)?.sync_all()?;
        }
        Ok(withdrawn)
    }

    /// The codes that have a file, whatever it says.
    fn codes(&self) -> io::Result<Vec<EnrolCodeHash>> {
        let code = |entry: fs::DirEntry| {
            let mut hash = [0; EnrolCodeHash::LEN];
            hex::decode_to_slice(entry.file_name().to_str()?, &mut hash).ok()?;
            Some(EnrolCodeHash::from_bytes(hash))
        };
        Ok(fs::read_dir(&self.folder)?.flatten().filter_map(code).collect())
    }

    /// Removes the offers that expired, and those whose code `is_spent`: the relay ended between the two steps.
    pub(crate) fn tidy(&self, unix: u64, is_spent: impl Fn(&EnrolCodeHash) -> bool) -> io::Result<()> {
        for code in self.codes()? {
            // One that cannot be read now is looked at the next time.
            let is_expired = || matches!(self.find(&code), Ok(Some(offer)) if offer.expires <= unix);
            if is_spent(&code) || is_expired() {
                self.remove(&code);
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Option<Offer>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let offer: Option<Offer> = std::str::from_utf8(&bytes).ok().and_then(|text| toml::from_str(text).ok());
    if offer.is_none() {
        tracing::warn!("an enrolment's file is damaged; make a new one");
    }
    Ok(offer)
}

/// Makes a folder that only its owner may read, with all above it.
///
/// # Errors
/// What the file system says.
pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// What root makes in a data folder must belong to the relay's user, or the relay cannot read it.
///
/// # Errors
/// What the file system says: another user than root may not do this.
pub(crate) fn give_to_owner_of(folder: &Path, path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // A link may lead anywhere, and is given itself.
        let (owner, now) = (fs::metadata(folder)?, fs::symlink_metadata(path)?);
        if (owner.uid(), owner.gid()) != (now.uid(), now.gid()) {
            std::os::unix::fs::lchown(path, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}

/// Gives everything in a data folder to the folder's owner.
///
/// # Errors
/// As of [`give_to_owner_of`].
pub(crate) fn hand_over(data: &Path) -> io::Result<()> {
    for folder in [data.to_owned(), data.join(FOLDER)] {
        for entry in fs::read_dir(folder)? {
            give_to_owner_of(data, &entry?.path())?;
        }
    }
    Ok(())
}

/// Makes a file that only its owner may read, in the place of any that an earlier run left. It never follows a link: the
/// folder may be another user's than the one who writes.
///
/// # Errors
/// What the file system says.
pub fn private_file(path: &Path) -> io::Result<fs::File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use tacit_proto::EnrolCode;

    use super::*;

    fn offer(expires: u64) -> Offer {
        Offer { permits: NonZeroU16::new(50).unwrap(), expires }
    }

    #[test]
    fn an_offer_is_found_by_its_code_alone_and_only_its_owner_reads_it() {
        let data = tempfile::tempdir().unwrap();
        let enrolments = Enrolments::open(&data.path().join("new")).unwrap();
        let (code, other) = (EnrolCode::from_bytes([1; 32]), EnrolCode::from_bytes([2; 32]));
        assert!(enrolments.is_empty().unwrap());
        enrolments.add(&code.hash(), offer(100)).unwrap();
        assert!(!enrolments.is_empty().unwrap());
        assert_eq!(enrolments.find(&code.hash()).unwrap(), Some(offer(100)));
        assert_eq!(enrolments.find(&other.hash()).unwrap(), None);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&enrolments.path(&code.hash())), 0o600);
            assert_eq!(mode(&enrolments.folder), 0o700);
        }
        let written = fs::read(enrolments.path(&code.hash())).unwrap();
        assert!(!written.windows(32).any(|bytes| bytes == code.secret_bytes()));
    }

    #[test]
    fn tidying_keeps_what_is_open() {
        let data = tempfile::tempdir().unwrap();
        let enrolments = Enrolments::open(data.path()).unwrap();
        let codes: Vec<_> = (0..3).map(|number| EnrolCode::from_bytes([number; 32]).hash()).collect();
        for (code, expires) in codes.iter().zip([99, 101, 101]) {
            enrolments.add(code, offer(expires)).unwrap();
        }
        enrolments.tidy(100, |code| *code == codes[2]).unwrap();
        let left: Vec<bool> = codes.iter().map(|code| enrolments.find(code).unwrap().is_some()).collect();
        assert_eq!(left, [false, true, false]);
    }

    #[test]
    fn a_withdrawn_offer_is_gone_and_the_others_stay() {
        let data = tempfile::tempdir().unwrap();
        let enrolments = Enrolments::open(data.path()).unwrap();
        let [one, other] = [1, 2].map(|number| EnrolCode::from_bytes([number; 32]).hash());
        enrolments.add(&one, offer(5)).unwrap();
        enrolments.add(&other, offer(6)).unwrap();
        assert!(enrolments.withdraw(EnrolmentId::of(&one)).unwrap());
        assert_eq!(enrolments.open_offers().unwrap(), [(other, offer(6))]);
        assert!(!enrolments.withdraw(EnrolmentId::of(&one)).unwrap(), "there is nothing left of it");
    }

    #[test]
    fn a_damaged_offer_is_none() {
        let data = tempfile::tempdir().unwrap();
        let enrolments = Enrolments::open(data.path()).unwrap();
        let code = EnrolCode::from_bytes([1; 32]).hash();
        for text in ["", "permits = 0\nexpires = 5", "permits = 5", "permits = 5\nexpires = 5\nmore = 1"] {
            fs::write(enrolments.path(&code), text).unwrap();
            assert_eq!(enrolments.find(&code).unwrap(), None, "{text}");
        }
        fs::write(enrolments.path(&code), [0xff]).unwrap();
        assert_eq!(enrolments.find(&code).unwrap(), None, "no text");
    }

    #[test]
    fn an_offer_that_cannot_be_read_now_is_not_taken_for_none() {
        let data = tempfile::tempdir().unwrap();
        let enrolments = Enrolments::open(data.path()).unwrap();
        let [unreadable, expired] = [1, 2].map(|number| EnrolCode::from_bytes([number; 32]).hash());
        fs::create_dir(enrolments.path(&unreadable)).unwrap();
        enrolments.add(&expired, offer(5)).unwrap();
        assert!(enrolments.find(&unreadable).is_err());
        assert!(enrolments.open_offers().is_err() && enrolments.is_empty().is_err());
        enrolments.tidy(100, |_| false).unwrap();
        assert_eq!(enrolments.find(&expired).unwrap(), None, "the others are tidied");
        assert!(enrolments.path(&unreadable).exists());
    }
}
