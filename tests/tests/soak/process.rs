//! The relay's process, and what the weather does to it.

use std::path::PathBuf;
use std::process::Command;

use tacit_server::Status;
use tacit_server::control::{Ask, Reply, ask};
use tacit_tests::{Relay, binary};

use super::world::{Dice, World};

/// A relay, on files whose length the kernel limits now and then.
pub(crate) struct Process {
    pub(crate) relay: Relay,
    /// Whether the next life's clock can be turned: it is another program then, of the same library.
    wants_hours: bool,
    /// Whether this life's can.
    has_hours: bool,
    is_limited: bool,
    peak_kib: u64,
    pub(crate) kills: u64,
    pub(crate) ends: u64,
    pub(crate) full_disks: u64,
    pub(crate) hours: u64,
}

impl Process {
    pub(crate) fn start(config: &str) -> Self {
        let relay = Relay::start_with(config);
        std::fs::write(relay.data().join("ahead"), "0").unwrap();
        let mut process = Self {
            relay,
            wants_hours: false,
            has_hours: false,
            is_limited: false,
            peak_kib: 0,
            kills: 0,
            ends: 0,
            full_disks: 0,
            hours: 0,
        };
        process.spawn();
        process
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.relay.data().join("data")
    }

    fn spawn(&mut self) {
        let program = match self.wants_hours {
            true => PathBuf::from(env!("CARGO_BIN_EXE_tacit-server-ahead")),
            false => binary("tacit-server"),
        };
        // Whoever exceeds the limit gets a signal, and an error only if that is ignored; a new program inherits this.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program);
        self.relay.restart_as(command);
        (self.is_limited, self.has_hours) = (false, self.wants_hours);
    }

    /// From the next life on, hours can pass.
    pub(crate) fn let_hours_pass(&mut self) {
        self.wants_hours = true;
    }

    /// SIGKILL, and a new life.
    pub(crate) fn kill(&mut self, world: &World) {
        self.note_memory();
        self.relay.kill();
        world.next_life();
        self.spawn();
        self.kills += 1;
    }

    /// SIGTERM, and a new life. On a disk that takes it, nothing that the relay was told is lost.
    pub(crate) fn end(&mut self, world: &World) {
        self.note_memory();
        self.relay.end();
        if !self.is_limited {
            world.all_on_disk();
        }
        world.next_life();
        self.spawn();
        self.ends += 1;
    }

    /// The disk is full, or has room again.
    pub(crate) fn toggle_disk(&mut self, dice: &mut Dice) {
        let limit = if self.is_limited {
            "unlimited".to_owned()
        } else {
            self.full_disks += 1;
            // Most often a part of what the file has cannot be written either: as it is, it may have room for long.
            (self.spool_bytes() / 4 * dice.between(1, 4)).to_string()
        };
        self.is_limited = !self.is_limited;
        let done = Command::new("prlimit")
            .args(["--pid", &self.relay.pid().to_string(), &format!("--fsize={limit}:unlimited")])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// An hour or so passes.
    pub(crate) fn turn_clock(&mut self, world: &World, dice: &mut Dice) {
        if self.has_hours {
            self.hours += 1;
            world.turn_clock(dice.between(1_800, 3_600), |ahead| {
                let folder = self.relay.data();
                std::fs::write(folder.join("ahead.new"), ahead.to_string()).unwrap();
                std::fs::rename(folder.join("ahead.new"), folder.join("ahead")).unwrap();
            });
        }
    }

    pub(crate) fn clear(&mut self, dice: &mut Dice) {
        if self.is_limited {
            self.toggle_disk(dice);
        }
    }

    /// Notes how much memory the process ever had.
    pub(crate) fn note_memory(&mut self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.relay.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse().ok());
        self.peak_kib = self.peak_kib.max(peak.unwrap_or(0));
    }

    pub(crate) fn peak_mib(&self) -> u64 {
        self.peak_kib / 1_024
    }

    pub(crate) fn status(&self) -> Status {
        match ask(&self.data(), &Ask::Status).unwrap() {
            Reply::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// What it logged that is worse than a warning, but for what a full disk explains: that it cannot be written, and that
    /// the database, which is opened anew after that, cannot be read for a moment. And whether it ever panicked.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let of_the_disk = ["the spool cannot be written", "the spool cannot be read: it is closed after an error"];
        let is_bad = |line: &&str| match line.contains("ERROR") {
            true => !of_the_disk.iter().any(|known| line.contains(known)),
            false => line.contains("panicked"),
        };
        self.relay.log().lines().filter(is_bad).map(ToOwned::to_owned).collect()
    }

    pub(crate) fn spool_bytes(&self) -> u64 {
        std::fs::metadata(self.data().join("spool.redb")).unwrap().len()
    }
}
