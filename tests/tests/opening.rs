//! The first openings of a process, all at once: SQLCipher sets itself up under them.

#![allow(missing_docs, reason = "tests")]

use std::process::Command;
use std::sync::Barrier;

use tacit_tests::core::{Client, StoreKey};

const CHILD: &str = "TACIT_OPENING_CHILD";

#[test]
fn many_homes_open_at_once_as_the_first_thing_that_a_process_does() {
    if std::env::var_os(CHILD).is_some() {
        return open_at_once();
    }
    // SQLCipher sets itself up once a process, so each try needs one: this test, run by itself.
    for _ in 0..200 {
        let exe = std::env::current_exe().unwrap();
        let child = Command::new(exe).env(CHILD, "1").arg("--nocapture").output().unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    }
}

fn open_at_once() {
    let homes: [_; 4] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let start = Barrier::new(homes.len());
    std::thread::scope(|scope| {
        for home in &homes {
            scope.spawn(|| {
                start.wait();
                Client::open(home.path().to_str().unwrap().to_owned(), StoreKey::Raw(vec![7; 32])).unwrap();
            });
        }
    });
}
