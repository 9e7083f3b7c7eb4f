use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::file::{CHUNK, Opener};
use super::*;
use crate::care::terms::Terms;
use crate::content::MAX_TERMS;
use crate::note::Note;
use crate::retention::{Keep, Retention};
use crate::statements::{their_newest, version_at};
use crate::testing::{NOW, Pair, Side};
use crate::types::{ContactState, Direction, EndedWhy, Outcome};

fn words() -> BackupSecret {
    // Words cost no Argon2.
    BackupSecret::Words(recovery_words().join(" "))
}

fn write(store: &mut Store, secret: &BackupSecret) -> Vec<u8> {
    let mut backup = Vec::new();
    rows::write(store, &mut backup, secret, NOW, &mut rng()).unwrap();
    backup
}

/// A home from a backup, as its rows were: before ends are taken over.
fn read(mut backup: &[u8], secret: &BackupSecret) -> Result<(tempfile::TempDir, Store), BackupError> {
    let home = tempfile::tempdir().unwrap();
    let key = Key::open(home.path(), &StoreKey::Raw(vec![8; 32]), &mut rng()).unwrap();
    rows::read(home.path(), &key, &mut backup, secret)?;
    let store = Store::open(home.path(), &key).unwrap();
    Ok((home, store))
}

fn pair(texts: usize) -> Pair {
    let mut pair = Pair::new();
    for number in 0..texts {
        let id = |side: u8| [&[side], &number.to_be_bytes()[..], &[0; 7]].concat().try_into().unwrap();
        let text = format!("a private sentence {number} {}", "and more ".repeat(number % 40));
        pair.practice.change(|tx, row| tx.queue_text(&row.key, &id(1), &text, NOW));
        pair.client.change(|tx, row| tx.queue_text(&row.key, &id(2), &text, NOW));
        if number % 16 == 0 {
            pair.exchange();
        }
    }
    pair
}

#[test]
fn a_wrong_clock_deletes_nothing_after_a_restore() {
    let mut pair = pair(1);
    let rule = Retention { keep: Keep::ForDays { days: 30 }, legal_hold: false };
    pair.practice.change(|tx, row| tx.set_retention(&row.key, true, rule, NOW));
    let secret = words();
    let backup = write(&mut pair.practice.store, &secret);
    let (_home, mut store) = read(&backup, &secret).unwrap();
    let (contact, kept) = (pair.practice.contact, pair.practice.history().len());
    store.tidy(NOW + 10 * 365 * 24 * 3_600_000).unwrap();
    let history = store.read::<_, StoreError>(|tx| tx.history(&contact, None, 100)).unwrap().unwrap();
    assert!(kept > 0 && history.len() == kept);
}

#[test]
fn a_backup_holds_history_and_contacts_and_opens_no_recorded_box() {
    let mut pair = pair(20);
    let secret = words();
    let backup = write(&mut pair.practice.store, &secret);
    let mut plain = Vec::new();
    let mut source = backup.as_slice();
    let mut opener = Opener::begin(&mut source, &secret).unwrap();
    let mut byte = [0];
    while opener.read(&mut byte).is_ok() {
        plain.extend(byte);
    }
    let holds = |needle: &[u8]| plain.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"a private sentence 7"));
    pair.practice.change(|tx, row| {
        assert!(holds(tx.end_key(&row.key)?.unwrap().secret_bytes()));
        for column in ["reset_secret", "psk_reset", "peer_reset"] {
            assert!(holds(&tx.blob(&row.key, column)?.unwrap()), "{column}");
        }
        for column in ["session", "psk_out", "psk_in"] {
            assert!(!holds(&tx.blob(&row.key, column)?.unwrap()), "{column}");
        }
        for own in tx.sealing_keys(&row.key, row.session)? {
            assert!(!holds(&*own.key.secret_bytes()));
        }
        Ok(())
    });
    let sealed = |needle: &[u8]| backup.windows(needle.len()).any(|window| window == needle);
    assert!(!sealed(b"private sentence") && !sealed(b"Dr. Example"));

    let (_home, mut store) = read(&backup, &secret).unwrap();
    store.check().unwrap();
    let contact = pair.practice.contact;
    let shown = |store: &mut Store| store.read::<_, StoreError>(|tx| tx.history(&contact, None, 1_000)).unwrap();
    assert_eq!(shown(&mut store), shown(&mut pair.practice.store));
    // It can be searched, too. The last three of the other side's were not exchanged.
    assert_eq!(store.read::<_, StoreError>(|tx| tx.search("sentence", None, None, 100)).unwrap().len(), 37);
}

#[test]
fn a_restored_device_notifies_of_what_comes_even_if_the_lost_one_had_seen_and_deleted_more() {
    let mut pair = pair(3);
    pair.exchange();
    pair.client.change(|tx, row| {
        tx.set_notified(&row.key, i64::MAX)?;
        tx.mark_read(&row.key)
    });
    let secret = words();
    let backup = write(&mut pair.client.store, &secret);
    restore_client(&mut pair, &backup, &secret);
    pair.practice.change(|tx, row| tx.queue_text(&row.key, &[101; 16], "new", NOW));
    pair.exchange();
    let new = pair.client.change(|tx, _| tx.new_messages());
    assert_eq!((new.len(), new[0].count), (1, 1));
}

#[test]
fn a_backup_that_is_cut_off_anywhere_restores_nothing() {
    let mut pair = pair(600);
    let secret = words();
    let backup = write(&mut pair.practice.store, &secret);
    let first = 58 + 32;
    let chunks = (backup.len() - first).div_ceil(CHUNK + 16);
    assert!(chunks >= 3, "{chunks}");
    let ends = (0..=chunks).map(|chunk| first + chunk * (CHUNK + 16));
    let around = ends.flat_map(|end| [end.saturating_sub(1), end, end + 1]);
    for cut in around.chain([0, 1, 13, 57, 58, 89]).filter(|cut| *cut < backup.len()) {
        match read(&backup[..cut], &secret) {
            Err(BackupError::NotABackup) => assert!(cut < 14),
            Err(BackupError::Truncated | BackupError::Damaged) => {}
            Err(error) => panic!("{cut}: {error}"),
            Ok(_) => panic!("{cut} bytes of {} were restored", backup.len()),
        }
    }
    // Nothing may follow, and no chunk may be missing or moved.
    assert!(matches!(read(&[&backup[..], &[0]].concat(), &secret), Err(BackupError::Damaged)));
    let chunk = |number: usize| first + number * (CHUNK + 16);
    let without = [&backup[..chunk(1)], &backup[chunk(2)..]].concat();
    let swapped =
        [&backup[..first], &backup[chunk(1)..chunk(2)], &backup[first..chunk(1)], &backup[chunk(2)..]].concat();
    for altered in [without, swapped] {
        assert!(matches!(read(&altered, &secret), Err(BackupError::Damaged)));
    }
    assert!(read(&backup, &secret).is_ok());
}

#[test]
fn an_altered_byte_is_found_wherever_it_is() {
    let mut pair = pair(3);
    let secret = words();
    let backup = write(&mut pair.client.store, &secret);
    for at in (0..130).chain((130..backup.len()).step_by(97)).chain([backup.len() - 1]) {
        let mut altered = backup.clone();
        altered[at] ^= 1;
        let Err(error) = read(&altered, &secret) else { panic!("byte {at} does not matter") };
        match at {
            0..12 => assert!(matches!(error, BackupError::NotABackup)),
            12 => assert!(matches!(error, BackupError::NotABackup), "version 0"),
            13 => assert!(matches!(error, BackupError::Damaged | BackupError::WrongSecretKind)),
            14..90 => assert!(matches!(error, BackupError::WrongSecret), "{at} {error}"),
            _ => assert!(matches!(error, BackupError::Damaged), "{at} {error}"),
        }
    }
    let mut newer = backup;
    newer[12] = 2;
    assert!(matches!(read(&newer, &secret), Err(BackupError::NewerFormat)));
}

#[test]
fn only_the_secret_it_was_made_with_opens_a_backup() {
    let mut pair = pair(1);
    let secret = words();
    let backup = write(&mut pair.client.store, &secret);
    assert!(matches!(read(&backup, &words()), Err(BackupError::WrongSecret)));
    let passphrase = |text: &str| BackupSecret::Passphrase(text.to_owned());
    assert!(matches!(read(&backup, &passphrase("a")), Err(BackupError::WrongSecretKind)));
    let BackupSecret::Words(text) = &secret else { panic!("words") };
    let as_written = text.to_uppercase().replace(' ', " ,\n ");
    assert!(read(&backup, &BackupSecret::Words(as_written)).is_ok());
    let (first, rest) = text.split_once(' ').unwrap();
    for wrong in [rest.to_owned(), format!("{rest} {first}x"), String::new()] {
        assert!(matches!(read(&backup, &BackupSecret::Words(wrong)), Err(BackupError::BadWords)));
    }
    assert_eq!(file::secret_kind(&mut backup.as_slice()).unwrap(), BackupSecretKind::Words);

    let backup = write(&mut pair.client.store, &passphrase("right"));
    assert!(matches!(read(&backup, &passphrase("wrong")), Err(BackupError::WrongSecret)));
    assert!(matches!(read(&backup, &passphrase("")), Err(BackupError::EmptyPassphrase)));
    assert!(matches!(read(&backup, &secret), Err(BackupError::WrongSecretKind)));
    assert!(read(&backup, &passphrase("right")).is_ok());
    // Parameters that would take all memory are not followed.
    let mut hostile = backup;
    hostile[14..18].fill(0xff);
    assert!(matches!(read(&hostile, &passphrase("right")), Err(BackupError::Damaged)));
}

/// The client's device is lost, and another is restored from a backup of it.
fn restore_client(pair: &mut Pair, backup: &[u8], secret: &BackupSecret) {
    let (home, mut store) = read(backup, secret).unwrap();
    store.change::<_, StoreError>(|tx| restore::begin(tx, NOW, &mut rng())).unwrap();
    pair.client = Side::new(home, store, pair.client.contact);
}

#[test]
fn what_a_restored_practice_states_is_newer_than_the_backup_whatever_the_clock_says() {
    const HOUR_MS: u64 = 3_600_000;
    let mut pair = pair(0);
    let secret = words();
    // Made at NOW, and what comes of it restored at these times.
    let restored = |store: &mut Store, at| {
        let backup = write(store, &secret);
        let (home, mut store) = read(&backup, &secret).unwrap();
        let from = store.change::<_, StoreError>(|tx| {
            restore::begin(tx, at, &mut rng())?;
            tx.versions_from()
        });
        (home, store, from.unwrap())
    };
    let (_, _, from) = restored(&mut pair.practice.store, 0);
    assert_eq!(from, version_at(NOW));
    let (_home, mut store, from) = restored(&mut pair.practice.store, NOW + HOUR_MS);
    assert_eq!(from, version_at(NOW + HOUR_MS));
    // By a clock that was behind, that one was backed up before it was restored.
    let (_, _, again) = restored(&mut store, 0);
    assert_eq!(again, from);
}

#[test]
fn what_came_to_the_lost_device_after_the_backup_comes_again_in_its_place_rules_and_statements_too() {
    let mut pair = pair(3);
    pair.exchange();
    let secret = words();
    let backup = write(&mut pair.client.store, &secret);
    // The lost device goes on: all of this is delivered to it.
    let say = |side: &mut Side, id: u8, text: &str| {
        side.change(|tx, row| tx.queue_text(&row.key, &[id; 16], text, NOW));
    };
    say(&mut pair.practice, 101, "after the backup");
    // In parts.
    let terms = Terms { version: 2, signed_at: NOW, text: "t".repeat(MAX_TERMS) };
    pair.publish(terms.clone(), &Note::TermsChanged { version: 2 });
    let rule = Retention { keep: Keep::ForYears { years: 10 }, legal_hold: false };
    let contact = pair.practice.contact;
    pair.practice.store.change(|tx| crate::retention::set(tx, &contact, rule, NOW)).unwrap();
    say(&mut pair.practice, 102, "and after that");
    say(&mut pair.client, 103, "of the lost device");
    pair.exchange();
    let (came, said) = (pair.client.shown(Direction::In), pair.practice.shown(Direction::In));
    assert_eq!((came.len(), said.len()), (7, 4));
    // What it said is with the other side only.
    restore_client(&mut pair, &backup, &secret);
    assert_eq!(pair.client.shown(Direction::In).len(), 3);
    say(&mut pair.client, 104, "of the new device");
    pair.exchange();
    assert_eq!(pair.client.shown(Direction::In), came);
    assert_eq!(pair.practice.shown(Direction::In), [&said[..], &["of the new device".to_owned()]].concat());
    pair.client.change(|tx, row| {
        assert_eq!(tx.retention(&row.key, false)?, Some(rule));
        assert_eq!(their_newest::<Terms>(tx, &row.key)?.as_ref(), Some(&terms));
        let shown = tx.public_contact(&row.key)?.unwrap();
        assert_eq!((shown.missing, shown.unopened, shown.verified), (0, 0, false));
        Ok(())
    });
    // And on in the new session, both ways.
    say(&mut pair.practice, 105, "hello");
    pair.exchange();
    assert_eq!(pair.client.shown(Direction::In).last().unwrap(), "hello");
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_restore_leaves_a_whole_home_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let raw = || StoreKey::Raw(vec![7; 32]);
    let client = Client::open(text(&at("first")), raw()).unwrap();
    client.enrol(enrolment(), "Dr. Example".to_owned()).unwrap();
    client.invite("an open invite".to_owned(), 60).unwrap();
    let secret = words();
    fs::write(at("backup"), "an older one").unwrap();
    client.backup(text(&at("backup")), secret.clone()).unwrap();
    assert!(!at("backup.part").exists());
    assert_eq!(Client::backup_secret_kind(text(&at("backup"))).unwrap(), BackupSecretKind::Words);
    let unwritable = client.backup(text(&at("no such folder/backup")), secret.clone());
    assert!(matches!(unwritable, Err(BackupError::Io(_))));

    let restore = |name: &str, secret: BackupSecret| {
        Client::restore(text(&at(name)), StoreKey::Raw(vec![9; 32]), text(&at("backup")), secret)
    };
    assert!(matches!(restore("first", secret.clone()), Err(BackupError::HomeExists)));
    assert!(matches!(restore("second", words()), Err(BackupError::WrongSecret)));
    assert!(!at("second").exists());
    // An attempt that was cut off in the middle is no obstacle.
    fs::create_dir_all(at("second/restoring")).unwrap();
    fs::write(at("second/restoring/key"), "half").unwrap();
    fs::write(at("second/tacit.db"), "half").unwrap();
    let restored = restore("second", secret).unwrap();
    let mut files: Vec<_> = fs::read_dir(at("second")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.retain(|name| name == "restoring");
    assert!(files.is_empty());
    restored.check().unwrap();
    assert_eq!(restored.enrolments().unwrap()[0].permits_left, 2);
    let contacts = restored.contacts().unwrap();
    let ended = ContactState::Ended(EndedWhy::NotRestored);
    assert_eq!((contacts[0].label.as_str(), contacts[0].state), ("an open invite", ended));

    client.lock();
    assert!(matches!(client.backup(text(&at("backup")), words()), Err(BackupError::Store(StoreError::Locked))));
}

fn enrolment() -> String {
    use tacit_proto::EnrolCode;
    use tacit_proto::link::{EnrolmentLink, RelayPlace};
    let relay = RelayPlace { address: "ws://127.0.0.1:9".parse().unwrap(), pin: None };
    EnrolmentLink { relay, code: EnrolCode::draw(&mut rng()), permits: 3 }.to_uri()
}

/// Of every released version of the store, oldest first: `fixtures/backup-N`, made by the test in `tests/tests/formats.rs`.
const KEPT: [u32; 1] = [7];

#[test]
fn backups_of_every_earlier_version_are_restored_with_all_that_was_in_them() {
    for version in KEPT {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/backup-{version}/therapist.backup"));
        let folder = tempfile::tempdir().unwrap();
        let home = text(&folder.path().join("home"));
        let secret = BackupSecret::Words(super::vectors::WORDS.to_owned());
        let client = Client::restore(home, StoreKey::Raw(vec![9; 32]), text(&kept), secret).unwrap();
        client.check().unwrap();
        let mut contacts = client.contacts().unwrap();
        contacts.sort_by(|one, two| one.label.cmp(&two.label));
        let states: Vec<_> = contacts.iter().map(|contact| (contact.label.as_str(), contact.state)).collect();
        assert_eq!(
            states,
            [
                ("C", ContactState::Paired),
                ("ended", ContactState::Ended(EndedWhy::ByUs)),
                ("open invite", ContactState::Ended(EndedWhy::NotRestored)),
            ]
        );
        assert!(!contacts[0].verified && contacts[0].session.resetting);
        let history = client.history(contacts[0].id.clone(), None, 100).unwrap();
        let outcomes = |outcome| history.iter().filter(|message| message.outcome == outcome).count();
        // Three came and three were delivered; what was accepted or queued goes out again.
        assert_eq!((history.len(), outcomes(Outcome::Delivered), outcomes(Outcome::Queued)), (9, 6, 3));
        assert_eq!(client.search("from the client".to_owned(), None, None, 10).unwrap().len(), 3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn whatever_was_said_comes_back(
        said in proptest::collection::vec((any::<bool>(), "\\PC{1,300}", any::<u32>()), 0..40)
    ) {
        let mut pair = Pair::new();
        for (number, (ours, said, at)) in said.iter().enumerate() {
            let side = if *ours { &mut pair.practice } else { &mut pair.client };
            side.change(|tx, row| tx.queue_text(&row.key, &[number as u8; 16], said, u64::from(*at)));
        }
        pair.exchange();
        let secret = words();
        let backup = write(&mut pair.practice.store, &secret);
        let (_home, mut store) = read(&backup, &secret).unwrap();
        let contact = pair.practice.contact;
        let restored = store.read::<_, StoreError>(|tx| tx.history(&contact, None, 1_000)).unwrap();
        prop_assert_eq!(restored.unwrap(), pair.practice.history());
        prop_assert_eq!(pair.practice.shown(Direction::Out).len(), said.iter().filter(|(ours, ..)| *ours).count());
        // And the same again from there.
        prop_assert_eq!(write(&mut store, &secret).len(), backup.len());
    }
}
