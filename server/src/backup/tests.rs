use std::fs;
use std::io::{self, Cursor, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use tacit_proto::{ChannelId, End, EndOf, EndPublic, EnrolCodeHash, PermitHash, SealedBox, SizeClass};
use tempfile::TempDir;

use super::*;
use crate::spool::{
    BoxKey, Change, ChannelRow, EndRow, EnrolmentId, Hour, Phase, Recovered, RedbSpool, SpentCode, Spool, SpoolError,
};
use crate::testing::SetOnDrop;
use crate::{Clock, Enrolments, Offer};

const HOLD: u32 = 24 * 3600;

fn clock() -> Clock {
    Clock::with_wall(|| UNIX_EPOCH + Duration::from_secs(1_800_000_000))
}

fn row(n: u8, phase: Phase) -> ChannelRow {
    let end = |key| EndRow { key: EndPublic::from_bytes([key; 32]), spent_invite: None };
    let spent_invite = matches!(phase, Phase::Claimed).then(|| EndPublic::from_bytes([n + 2; 32]));
    ChannelRow { a: end(n), b: EndRow { spent_invite, ..end(n + 1) }, phase, invite_tried: n == 1 }
}

fn channel(n: u8) -> ChannelId {
    ChannelId::from_bytes([n; 16])
}

fn permit(n: u8) -> PermitHash {
    PermitHash::from_bytes([n; 32])
}

const CODE: EnrolCodeHash = EnrolCodeHash::from_bytes([0xc0; 32]);
const OPEN_CODE: EnrolCodeHash = EnrolCodeHash::from_bytes([0xc1; 32]);

fn offer() -> Offer {
    Offer { permits: 7.try_into().unwrap(), expires: 1_900_000_000 }
}

fn phases() -> [(u8, Phase); 4] {
    [
        (1, Phase::Claimed),
        (2, Phase::Unclaimed { join_by: Hour(500_100) }),
        (3, Phase::Closed { by: Some(End::B), forget: Hour(500_200) }),
        (4, Phase::Closed { by: None, forget: Hour(500_300) }),
    ]
}

/// A relay's folder with one of everything, and boxes that wait.
struct Setting {
    spool: Arc<RedbSpool>,
    backups: Backups,
    data: TempDir,
}

impl Setting {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let (spool, _) = RedbSpool::open(data.path()).unwrap();
        let mut batch = vec![
            Change::Enrol { code: CODE, permits: (1..=3).map(permit).collect(), forget: Hour(500_400) },
            Change::SpendPermit(permit(2)),
        ];
        batch.extend(phases().map(|(n, phase)| Change::PutChannel(channel(n), row(n, phase))));
        let mut bytes = vec![0x5a; SizeClass::Small.box_len()];
        bytes[..2].copy_from_slice(&SizeClass::Small.header());
        let sealed = SealedBox::check(Bytes::from(bytes)).unwrap();
        let to = EndOf { channel: channel(1), end: End::A };
        batch.push(Change::Append { to, key: BoxKey { seq: 1, expires: Hour(500_500) }, sealed });
        spool.commit(&batch).unwrap();
        let enrolments = Enrolments::open(data.path()).unwrap();
        enrolments.add(&OPEN_CODE, offer()).unwrap();
        let spool = Arc::new(spool);
        Self { backups: Backups::of(spool.clone(), enrolments), spool, data }
    }

    fn backup(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let files = [KeptFile::new("relay.key", "a key\n").unwrap()];
        let extras = Extras { configuration: Some("hold = \"1d\"\n"), files: &files };
        let contents = self.backups.write(extras, &mut out).unwrap();
        assert_eq!(contents, Contents { channels: 4, permits: 2, spent_codes: 1, offers: 1 });
        out
    }
}

fn restored(backup: &[u8], data: &Path) -> Result<Restored, RestoreError> {
    restore(Cursor::new(backup), data, HOLD, &clock())
}

/// A folder that is not there yet.
fn nowhere() -> (TempDir, std::path::PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    (parent, data)
}

#[test]
fn what_a_backup_keeps_comes_back_in_a_new_life_without_boxes_and_with_its_invites_closed() {
    let setting = Setting::new();
    let backup = setting.backup();
    let (_parent, data) = nowhere();
    let restored = restored(&backup, &data).unwrap();
    assert_eq!(restored.contents, Contents { channels: 4, permits: 2, spent_codes: 1, offers: 1 });
    assert_eq!(restored.closed_invites, 1);
    assert_eq!(restored.configuration.as_deref(), Some("hold = \"1d\"\n"));
    assert_eq!(restored.files, ["relay.key"]);
    assert_eq!(fs::read_to_string(data.join("relay.key")).unwrap(), "a key\n");
    assert_eq!(Enrolments::open(&data).unwrap().open_offers().unwrap(), [(OPEN_CODE, offer())]);

    let (_, recovered) = RedbSpool::open(&data).unwrap();
    let Recovered { incarnation, mut channels, waiting, permits, enrolments } = recovered;
    channels.sort_by_key(|(id, _)| *id);
    let closed = Phase::Closed { by: None, forget: clock().now().hour_after(HOLD) };
    let expected = phases().map(|(n, phase)| {
        let phase_now = if matches!(phase, Phase::Unclaimed { .. }) { closed } else { phase };
        (channel(n), ChannelRow { phase: phase_now, ..row(n, phase) })
    });
    assert_eq!(channels, expected);
    assert_eq!(permits, [1, 3].map(|n| (permit(n), EnrolmentId::of(&CODE))));
    let permits: Vec<_> = (1..=3).map(permit).collect();
    assert_eq!(enrolments, [(CODE, SpentCode::of(&permits, Hour(500_400)))]);
    assert!(waiting.is_empty());

    let (_parent, other) = nowhere();
    super::restore(Cursor::new(&backup), &other, HOLD, &clock()).unwrap();
    assert_ne!(RedbSpool::open(&other).unwrap().1.incarnation, incarnation, "each is a life of its own");
}

#[test]
fn a_backup_is_a_text_in_which_an_operator_finds_no_box() {
    let setting = Setting::new();
    let text = String::from_utf8(setting.backup()).unwrap();
    let mut kinds = Vec::new();
    for line in text.lines() {
        let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        assert_eq!(line.len(), 1);
        kinds.extend(line.into_iter().map(|(kind, _)| kind));
    }
    let expected = "tacit_backup configuration file offer channel channel channel channel permit permit spent_code end";
    assert_eq!(kinds, expected.split(' ').collect::<Vec<_>>());
    assert!(!text.contains("5a5a5a5a"), "the box that waits");
    assert!(text.len() < 2_600, "nothing of that size is in it: {}", text.len());
    let line = r#"{"channel":{"id":"02020202020202020202020202020202","a":{"key":"#;
    assert!(text.contains(line) && text.contains(r#""phase":{"unclaimed":{"join_by":500100}},"invite_tried":false}}"#));
    assert!(text.contains(r#""phase":{"closed":{"by":"b","forget":500200}}"#));
    assert!(text.ends_with("\"}}\n") && text.contains("\n{\"end\":{\"lines\":11,\"sha256\":\""));
}

#[test]
fn a_backup_cut_short_or_altered_anywhere_is_refused_before_anything_is_made() {
    let backup = Setting::new().backup();
    let (_parent, data) = nowhere();
    for len in 0..backup.len() {
        let error = restored(&backup[..len], &data).unwrap_err();
        assert!(matches!(error, RestoreError::NotABackup | RestoreError::Damaged { .. }), "{len} bytes: {error}");
    }
    for at in 0..backup.len() {
        for bit in [0x01, 0x20, 0x80] {
            let mut altered = backup.clone();
            altered[at] ^= bit;
            assert!(restored(&altered, &data).is_err(), "byte {at}, bit {bit:x}");
        }
    }
    let lines: Vec<&[u8]> = backup.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        assert!(restored(&without.concat(), &data).is_err(), "line {at} is missing");
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        assert!(restored(&twice.concat(), &data).is_err(), "line {at} is there twice");
    }
    assert!(!data.exists());
    restored(&backup, &data).unwrap();
}

#[test]
fn another_version_or_another_file_is_said() {
    let backup = Setting::new().backup();
    let newer = String::from_utf8(backup).unwrap().replacen("{\"version\":1}", "{\"version\":2,\"more\":0}", 1);
    let (_parent, data) = nowhere();
    assert!(matches!(restored(newer.as_bytes(), &data), Err(RestoreError::Newer(2))));
    for other in ["", "\n", "{}", "hold = \"1d\"", "{\"end\":{\"lines\":0,\"sha256\":\"\"}}", "{\"tacit_backup\":{}}"] {
        assert!(matches!(restored(other.as_bytes(), &data), Err(RestoreError::NotABackup)), "{other}");
    }
    assert!(!data.exists());
}

#[test]
fn a_spool_that_is_there_is_never_replaced() {
    let setting = Setting::new();
    let backup = setting.backup();
    assert!(matches!(restored(&backup, setting.data.path()), Err(RestoreError::Spool(SpoolError::InUse))));
    assert_eq!(setting.backup(), backup, "and it goes on");

    let (_parent, other) = nowhere();
    drop(RedbSpool::open(&other).unwrap());
    let before = [fs::read(other.join("spool.redb")).unwrap(), fs::read(other.join("epoch.keys")).unwrap()];
    assert!(matches!(restored(&backup, &other), Err(RestoreError::Spool(SpoolError::HasSpool))));
    assert_eq!([fs::read(other.join("spool.redb")).unwrap(), fs::read(other.join("epoch.keys")).unwrap()], before);
    assert!(!other.join("relay.key").exists() && !other.join("restoring.redb").exists());
}

#[test]
fn an_empty_file_is_no_spool_and_is_replaced() {
    let setting = Setting::new();
    let (_parent, other) = nowhere();
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("spool.redb"), []).unwrap();
    restored(&setting.backup(), &other).unwrap();
    assert!(!RedbSpool::open(&other).unwrap().1.channels.is_empty());
}

#[test]
fn a_kept_file_does_not_replace_another_one() {
    let backup = Setting::new().backup();
    let (_parent, data) = nowhere();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("relay.key"), "another key\n").unwrap();
    assert!(matches!(restored(&backup, &data), Err(RestoreError::InTheWay(name)) if name == "relay.key"));
    fs::write(data.join("relay.key"), "a key\n").unwrap();
    restored(&backup, &data).unwrap();
}

#[test]
fn a_restore_that_could_not_be_finished_leaves_no_spool_and_is_repeated() {
    let backup = Setting::new().backup();
    let (_parent, data) = nowhere();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("restoring.redb"), "what a crash left").unwrap();
    fs::write(data.join("enrolments"), "in the way").unwrap();
    assert!(matches!(restored(&backup, &data), Err(RestoreError::Write(_))));
    assert!(!data.join("spool.redb").exists() && !data.join("restoring.redb").exists());
    fs::remove_file(data.join("enrolments")).unwrap();
    restored(&backup, &data).unwrap();
    assert_eq!(RedbSpool::open(&data).unwrap().1.channels.len(), 4);
}

#[test]
fn what_is_restored_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_parent, data) = nowhere();
    restored(&Setting::new().backup(), &data).unwrap();
    let mode = |name: &str| fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("spool.redb"), mode("relay.key"), mode("enrolments")), (0o700, 0o600, 0o600, 0o700));
}

#[test]
fn names_that_lead_elsewhere_are_no_kept_files() {
    for name in ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "spool.redb", "epoch.keys", "a\0b"] {
        assert_eq!(KeptFile::new(name, ""), Err(NotAKeptFile), "{name:?}");
    }
    assert!(KeptFile::new("relay-key_1.pem", "").is_ok());
}

#[test]
fn a_folder_without_a_relays_data_is_not_backed_up_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |data: &Path| matches!(Backups::of_folder(data), Err(BackupError::Spool(SpoolError::NoSpool)));
    assert!(refused(folder.path()) && refused(&folder.path().join("missing")));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(folder.path().join("spool.redb"), []).unwrap();
    assert!(refused(folder.path()), "an empty file is no spool");

    let Setting { spool, backups, data } = Setting::new();
    let before = backups.write(Extras::default(), io::sink()).unwrap();
    drop((spool, backups));
    let after = Backups::of_folder(data.path()).unwrap().write(Extras::default(), io::sink()).unwrap();
    assert_eq!(after, before);
}

#[test]
fn a_kept_file_that_cannot_be_read_is_not_taken_for_none() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(kept_files(data.path()).unwrap(), []);
    // A folder in its place cannot be read, as the file cannot on a disk that fails.
    fs::create_dir(data.path().join("relay.key")).unwrap();
    assert!(matches!(kept_files(data.path()), Err(BackupError::Kept { name: "relay.key", .. })));
    fs::remove_dir(data.path().join("relay.key")).unwrap();
    fs::write(data.path().join("relay.key"), "a key\n").unwrap();
    assert_eq!(kept_files(data.path()).unwrap(), [KeptFile::new("relay.key", "a key\n").unwrap()]);
}

/// A disk that is full after so many bytes.
struct Short(usize);

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.min(bytes.len());
        self.0 -= written;
        if written == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(written) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_backup_that_does_not_fit_is_an_error() {
    let setting = Setting::new();
    let mut whole = Vec::new();
    setting.backups.write(Extras::default(), &mut whole).unwrap();
    for room in 0..whole.len() {
        let written = setting.backups.write(Extras::default(), Short(room));
        assert!(matches!(written, Err(BackupError::Write(_))), "{room}");
    }
    setting.backups.write(Extras::default(), Short(whole.len())).unwrap();
}

#[test]
fn a_backup_beside_commits_shows_one_moment() {
    let setting = Setting::new();
    let permits: Vec<_> = (0..=255).map(|n| PermitHash::from_bytes([n ^ 0x0f; 32])).collect();
    let code = EnrolCodeHash::from_bytes([0xc2; 32]);
    setting.spool.commit(&[Change::Enrol { code, permits: permits.clone(), forget: Hour(1) }]).unwrap();
    let before = setting.backups.write(Extras::default(), io::sink()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _done = SetOnDrop(&done);
            for (n, permit) in permits.iter().enumerate() {
                // As opening a channel does: both or neither.
                let mut id = [0xee; 16];
                id[15] = n as u8;
                let put = Change::PutChannel(ChannelId::from_bytes(id), row(9, Phase::Claimed));
                setting.spool.commit(&[Change::SpendPermit(*permit), put]).unwrap();
                if n % 16 == 0 {
                    setting.spool.turn_epoch().unwrap();
                }
            }
        });
        while !done.load(Ordering::Relaxed) {
            let contents = setting.backups.write(Extras::default(), io::sink()).unwrap();
            assert_eq!(contents.channels + contents.permits, before.channels + before.permits);
        }
    });
}
