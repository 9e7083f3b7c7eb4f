//! The file of epoch keys, torn at any byte.

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::sim::{Op, SimDisk, Survivor, Unsynced, Which};
use super::{Model, append, end, remove, small};
use crate::spool::epoch::{SLOT_LEN, SLOTS, SlotFile, draw};
use crate::spool::{RedbSpool, Spool};
use tacit_proto::End;

fn file(bytes: &[u8]) -> Box<dyn StorageBackend> {
    let file = InMemoryBackend::new();
    file.set_len(bytes.len() as u64).unwrap();
    file.write(0, bytes).unwrap();
    Box::new(file)
}

/// The bytes of a file with these keys, in this order.
fn slots(keys: &[([u8; 8], crate::spool::epoch::EpochKey)]) -> Vec<u8> {
    let disk = SimDisk::default();
    let (mut slots, found) = SlotFile::open(crate::spool::Storage::epoch_keys(&disk).unwrap()).unwrap();
    assert!(found.is_empty());
    for (id, key) in keys {
        slots.put(*id, key).unwrap();
    }
    let [_, keys] = disk.files();
    keys
}

#[test]
fn a_key_put_or_destroyed_in_part_is_whole_or_no_key_and_never_harms_another() {
    let (one, two) = (draw().unwrap(), draw().unwrap());
    let before = slots(std::slice::from_ref(&one));
    let after = slots(&[one.clone(), two.clone()]);
    assert_eq!(before.len(), SLOTS * SLOT_LEN);
    let second = SLOT_LEN..2 * SLOT_LEN;
    for torn in 0..=SLOT_LEN {
        // Putting the second key, and overwriting it again, were cut after `torn` bytes.
        let mut putting = before.clone();
        putting[second.clone()][..torn].copy_from_slice(&after[second.clone()][..torn]);
        // A blank slot is random: what was cut off may be there by chance, byte for byte.
        let is_put = putting[second.clone()][..80] == after[second.clone()][..80];
        assert!(is_put || torn < 80);
        let mut destroying = after.clone();
        destroying[second.clone()][..torn].fill(0x77);
        for (bytes, whole) in [(putting, is_put), (destroying, torn == 0)] {
            let (_, found) = SlotFile::open(file(&bytes)).unwrap();
            assert_eq!(found[0], one, "the other key is untouched");
            let second: Vec<_> = found[1..].to_vec();
            assert_eq!(second, if whole { vec![two.clone()] } else { Vec::new() }, "torn at {torn}");
        }
    }
}

#[test]
fn a_file_that_is_too_short_is_made_whole_and_keeps_its_keys() {
    let one = draw().unwrap();
    let whole = slots(std::slice::from_ref(&one));
    for len in [0, 1, SLOT_LEN - 1, SLOT_LEN, SLOT_LEN + SLOTS, SLOTS * SLOT_LEN - 1] {
        let disk = SimDisk::with([Vec::new(), whole[..len].to_vec()]);
        let (_, found) = SlotFile::open(crate::spool::Storage::epoch_keys(&disk).unwrap()).unwrap();
        assert_eq!(found.len(), usize::from(len >= 80), "{len}");
        let [_, bytes] = disk.files();
        assert!(bytes.len() == whole.len() && bytes[..len] == whole[..len], "{len}");
    }
}

#[test]
fn destroying_leaves_not_a_byte_of_a_key() {
    let (one, two) = (draw().unwrap(), draw().unwrap());
    let disk = SimDisk::with([Vec::new(), slots(&[one.clone(), two.clone()])]);
    let (mut file, found) = SlotFile::open(crate::spool::Storage::epoch_keys(&disk).unwrap()).unwrap();
    assert_eq!(found, [one.clone(), two.clone()]);
    file.destroy_all_but(&[two.0].into()).unwrap();
    let [_, bytes] = disk.files();
    let holds = |key: &[u8]| key.chunks(8).any(|part| bytes.windows(8).any(|window| window == part));
    assert!(!holds(&one.1[..]) && holds(&two.1[..]));
}

#[test]
fn a_torn_write_of_the_epoch_file_at_any_byte_loses_nothing() {
    let disk = SimDisk::default();
    let (spool, _) = RedbSpool::open_on(disk.clone()).unwrap();
    let a = end(1, End::A);
    let batches = [
        vec![append(a, 1, small(1)), append(a, 2, small(2)), append(end(2, End::B), 7, small(3))],
        vec![remove(a, [1])],
    ];
    let mut model = Model::default();
    for batch in &batches {
        spool.commit(batch).unwrap();
        model.apply(batch);
    }
    let start = disk.log().len();
    spool.turn_epoch().unwrap();
    spool.turn_epoch().unwrap();
    let log = disk.log();
    let (done, turns) = log.split_at(start);
    let mut survivor = Survivor::default();
    done.iter().for_each(|op| survivor.push(op));
    let mut tried = 0;
    for op in turns {
        if let Op::Write(Which::Keys, offset, data) = op {
            assert_eq!(data.len(), SLOT_LEN);
            // Every byte that carries meaning, and then every sector.
            for torn in (0..=96).chain((128..=SLOT_LEN).step_by(512)) {
                let mut cut = survivor.clone();
                cut.push(&Op::Write(Which::Keys, *offset, data[..torn].to_vec()));
                cut.push(&Op::Sync(Which::Keys));
                let (again, recovered) = RedbSpool::open_on(cut.cut(Unsynced::Lost)).unwrap();
                assert_eq!(Model::found(&again, &recovered), model, "torn at {torn}");
                tried += 1;
            }
        }
        survivor.push(op);
    }
    assert!(tried >= 4 * 97, "two keys were put and two destroyed: {tried}");
}
