use std::fs;
use std::path::Path;
use std::sync::mpsc;

use tacit_proto::EnrolCode;
use tacit_proto::link::{EnrolmentLink, RelayPlace};

use super::*;
use crate::error::{ContactError, EnrolError};
use crate::types::Connection;

fn passphrase(text: &str) -> StoreKey {
    StoreKey::Passphrase(text.to_owned())
}

fn text(home: &Path) -> String {
    home.to_str().unwrap().to_owned()
}

fn open(home: &Path, key: StoreKey) -> Result<Client, OpenError> {
    Client::open(text(home), key)
}

fn raw() -> StoreKey {
    StoreKey::Raw(vec![7; 32])
}

/// A client that has something to lose.
fn with_something(home: &Path, key: StoreKey) -> Client {
    let client = open(home, key).unwrap();
    let place = RelayPlace { address: "ws://127.0.0.1:9".parse().unwrap(), pin: None };
    let link = EnrolmentLink { relay: place, code: EnrolCode::draw(&mut rng()), permits: 3 };
    client.enrol(link.to_uri(), "Dr. Example".to_owned()).unwrap();
    client.invite("a label of a person".to_owned(), 3600).unwrap();
    client
}

fn is_whole(client: &Client) -> bool {
    client.check().is_ok() && client.contacts().unwrap()[0].label == "a label of a person"
}

#[test]
fn a_locked_client_ends_every_call_in_locked_and_goes_on_once_unlocked() {
    let home = tempfile::tempdir().unwrap();
    let client = with_something(home.path(), raw());
    let contact = client.contacts().unwrap()[0].id.clone();
    client.start(None).unwrap();
    client.lock();
    client.lock();
    assert!(client.is_locked());
    assert_eq!(client.connection(), Connection::Stopped);
    assert!(matches!(client.contacts(), Err(StoreError::Locked)));
    assert!(matches!(client.check(), Err(StoreError::Locked)));
    assert!(matches!(client.start(None), Err(OpenError::Locked)));
    assert!(matches!(client.rename(contact.clone(), "x".to_owned()), Err(ContactError::Store(StoreError::Locked))));
    assert!(matches!(client.invite_link(contact), Err(ContactError::Store(StoreError::Locked))));
    let enrol = client.enrol("tacit:".to_owned(), String::new());
    assert!(matches!(enrol, Err(EnrolError::Link(_))), "what is wrong with a call itself is told first");

    assert!(matches!(client.unlock(StoreKey::Raw(vec![8; 32])), Err(OpenError::WrongPassphrase)));
    assert!(client.is_locked());
    client.unlock(raw()).unwrap();
    assert!(is_whole(&client));
    client.start(None).unwrap();
    client.stop();
}

#[test]
fn a_wait_ends_when_the_client_is_locked_meanwhile() {
    let home = tempfile::tempdir().unwrap();
    let client = with_something(home.path(), raw());
    std::thread::scope(|scope| {
        let (begun, waits) = mpsc::channel();
        let client = &client;
        let wait = scope.spawn(move || {
            begun.send(()).unwrap();
            client.wait_settled(60_000)
        });
        waits.recv().unwrap();
        client.lock();
        assert!(matches!(wait.join().unwrap(), Err(crate::error::WaitError::Store(StoreError::Locked))));
    });
}

/// How often a secret, given masked so that the search does not find itself, is in this process's memory.
#[cfg(target_os = "linux")]
fn times_in_memory(masked: &[u8]) -> usize {
    use std::os::unix::fs::FileExt;
    let memory = fs::File::open("/proc/self/mem").unwrap();
    let mut found = 0;
    let mut buffer = vec![0; 1 << 20];
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut fields = line.split_ascii_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let mut at = u64::from_str_radix(from, 16).unwrap();
        let to = u64::from_str_radix(to, 16).unwrap();
        while at < to {
            let Ok(read) = memory.read_at(&mut buffer, at) else { break };
            let here = &buffer[..read];
            let is_it = |window: &[u8]| window.iter().zip(masked).all(|(byte, masked)| byte ^ 0x5a == *masked);
            found += here.windows(masked.len()).filter(|window| is_it(window)).count();
            if read <= masked.len() {
                break;
            }
            buffer[..read].fill(0);
            at += (read - masked.len() + 1) as u64;
        }
    }
    found
}

#[cfg(target_os = "linux")]
#[test]
fn a_locked_client_has_no_key_in_memory() {
    let home = tempfile::tempdir().unwrap();
    let client = with_something(home.path(), raw());
    let masked: Vec<u8> = client.opened().as_ref().unwrap().key.bytes().iter().map(|byte| byte ^ 0x5a).collect();
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)] ^ 0x5a;
    let masked_hex: Vec<u8> =
        masked.iter().flat_map(|byte| [digit((byte ^ 0x5a) >> 4), digit((byte ^ 0x5a) & 15)]).collect();
    client.start(None).unwrap();
    assert!(times_in_memory(&masked) > 0, "the search finds what is there");
    client.lock();
    assert_eq!((times_in_memory(&masked), times_in_memory(&masked_hex)), (0, 0));
}

#[test]
fn another_passphrase_opens_the_home_and_the_one_before_it_does_not() {
    let home = tempfile::tempdir().unwrap();
    let client = with_something(home.path(), passphrase("old"));
    assert!(matches!(client.change_key(passphrase("wrong"), passphrase("new")), Err(OpenError::WrongPassphrase)));
    assert!(matches!(client.change_key(passphrase("old"), passphrase("")), Err(OpenError::EmptyPassphrase)));
    client.change_key(passphrase("old"), passphrase("new")).unwrap();
    assert!(is_whole(&client), "what is open stays open");
    client.lock();
    assert!(matches!(client.unlock(passphrase("old")), Err(OpenError::WrongPassphrase)));
    client.unlock(passphrase("new")).unwrap();
    // From a passphrase to a key that the platform keeps, while locked.
    client.lock();
    client.change_key(passphrase("new"), raw()).unwrap();
    client.unlock(raw()).unwrap();
    assert!(is_whole(&client));
}

#[cfg(unix)]
#[test]
fn the_old_key_file_is_overwritten_by_a_change() {
    let home = tempfile::tempdir().unwrap();
    let client = with_something(home.path(), raw());
    // A second name of the same bytes on the disk.
    let before = home.path().join("before");
    fs::hard_link(home.path().join("key"), &before).unwrap();
    assert!(fs::read(&before).unwrap().iter().any(|byte| *byte != 0));
    client.change_key(raw(), StoreKey::Raw(vec![8; 32])).unwrap();
    assert!(fs::read(&before).unwrap().iter().all(|byte| *byte == 0));
}

#[test]
fn a_change_of_passphrase_cut_off_at_any_step_leaves_one_that_opens() {
    let home = tempfile::tempdir().unwrap();
    let client = with_something(home.path(), raw());
    client.lock();
    let (key, draft) = (home.path().join("key"), home.path().join("key.new"));
    let new = StoreKey::Raw(vec![8; 32]);
    let old_file = fs::read(&key).unwrap();
    client.change_key(raw(), new.clone()).unwrap();
    let new_file = fs::read(&key).unwrap();

    // Before the rename: the draft is missing, or there in part, or whole. The old key opens, and it can be repeated.
    for written in (0..new_file.len()).step_by(13).chain([new_file.len()]) {
        fs::write(&key, &old_file).unwrap();
        fs::write(&draft, &new_file[..written]).unwrap();
        assert!(client.unlock(new.clone()).is_err());
        client.unlock(raw()).unwrap();
        assert!(is_whole(&client));
        client.lock();
    }
    client.change_key(raw(), new.clone()).unwrap();
    // After it: the new one does.
    client.unlock(new.clone()).unwrap();
    assert!(is_whole(&client));
    assert!(matches!(open(home.path(), raw()), Err(OpenError::WrongPassphrase)));
}

#[test]
fn two_changes_at_once_leave_the_key_of_one_of_them() {
    let home = tempfile::tempdir().unwrap();
    let client = with_something(home.path(), raw());
    let keys: Vec<_> = (1..=4).map(|number| StoreKey::Raw(vec![number; 32])).collect();
    let changed = std::thread::scope(|scope| {
        let change = |key: &StoreKey| client.change_key(raw(), key.clone()).is_ok();
        let changes: Vec<_> = keys.iter().map(|key| scope.spawn(move || change(key))).collect();
        changes.into_iter().map(|change| change.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(changed.iter().filter(|changed| **changed).count(), 1);
    for (key, changed) in keys.into_iter().zip(changed) {
        assert_eq!(open(home.path(), key).is_ok(), changed);
    }
}

#[cfg(unix)]
#[test]
fn erasing_overwrites_and_removes_every_file_and_nothing_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let (home, kept) = (folder.path().join("home"), folder.path().join("kept"));
    let client = with_something(&home, raw());
    // Another process has it open: its log and shared memory are there too.
    let other = open(&home, raw()).unwrap();
    other.invite("another".to_owned(), 3600).unwrap();
    fs::create_dir(&kept).unwrap();
    let mut names: Vec<_> = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for wanted in ["key", "tacit.db", "tacit.db-shm", "tacit.db-wal"] {
        assert!(names.iter().any(|name| name == wanted), "{names:?}");
    }
    for name in &names {
        fs::hard_link(home.join(name), kept.join(name)).unwrap();
    }
    client.erase().unwrap();

    assert!(!home.exists());
    for name in names {
        let left = fs::read(kept.join(&name)).unwrap();
        // The other process may note in the shared memory, which holds no content, that it is there.
        assert!(name == "tacit.db-shm" || left.iter().all(|byte| *byte == 0), "{name:?}");
    }
    assert!(matches!(client.contacts(), Err(StoreError::Locked)));
    assert!(matches!(client.unlock(raw()), Err(OpenError::Erased)));
    assert!(matches!(client.change_key(raw(), raw()), Err(OpenError::Erased)));
    assert!(matches!(other.contacts(), Err(StoreError::Erased)));
    assert!(matches!(other.invite("more".to_owned(), 60), Err(crate::error::InviteError::Store(StoreError::Erased))));
    drop(other);
    assert!(!home.exists(), "nothing came back");
    client.erase().unwrap();
    Client::erase_home(text(&home)).unwrap();
    // The same place can be a new home.
    assert!(open(&home, raw()).unwrap().contacts().unwrap().is_empty());
}

#[test]
fn an_erasing_that_was_cut_off_leaves_nothing_to_open_and_is_gone_on_with() {
    let home = tempfile::tempdir().unwrap();
    drop(with_something(home.path(), raw()));
    // The key goes first: this is the least that a cut off erasing has done.
    fs::write(home.path().join("key"), "").unwrap();
    assert!(matches!(open(home.path(), raw()), Err(OpenError::Erased)));
    Client::erase_home(text(home.path())).unwrap();
    assert!(!home.path().exists());
}

#[test]
fn a_home_keeps_what_is_not_ours() {
    let home = tempfile::tempdir().unwrap();
    let client = with_something(home.path(), raw());
    fs::write(home.path().join("a letter"), "mine").unwrap();
    client.erase().unwrap();
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a letter"]);
}
