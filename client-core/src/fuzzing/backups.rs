//! A backup is opened whole or not at all, and what is restored from it is a store that works.

use crate::backup::fuzzing::{Records, open, records, restore, seal};

pub(super) fn check(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 4 {
        // A file as somebody found it.
        0 => {
            if let Ok(plaintext) = open(bytes) {
                assert!(plaintext.len() < bytes.len());
                let _ = records(&plaintext);
            }
        }
        // What was sealed is opened, however it falls into chunks; and nothing else is.
        1 => {
            let mut file = seal(bytes);
            assert_eq!(open(&file).unwrap(), bytes);
            let at = bytes.iter().fold(0, |sum: usize, byte| sum.wrapping_mul(31) + usize::from(*byte)) % file.len();
            file[at] ^= 1;
            assert!(open(&file).is_err(), "byte {at} was altered");
            file[at] ^= 1;
            file.truncate(at);
            assert!(open(&file).is_err(), "it was cut off at {at}");
        }
        // Whoever has the secret can seal any records.
        2 => {
            let Records { count, longest } = records(bytes);
            assert!(count <= bytes.len() && longest <= bytes.len());
        }
        _ => restore(bytes),
    }
}
