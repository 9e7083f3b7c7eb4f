//! A relay: the real binary, in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{binary, kill};

/// A running relay. Killed when dropped.
pub struct Relay {
    data: TempDir,
    address: String,
    child: Child,
}

impl Relay {
    /// Starts one on a free port, on an empty folder.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same with lines of configuration.
    #[must_use]
    pub fn start_with(config: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("test.toml"), config).unwrap();
        let (child, address) = spawn(data.path(), "127.0.0.1:0");
        Self { data, address, child }
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The folder with everything that the relay stores.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        kill(&mut self.child);
    }

    /// Starts the killed relay again, where it was.
    pub fn restart(&mut self) {
        self.kill();
        let (child, address) = spawn(self.data.path(), &self.address);
        assert_eq!(address, self.address);
        self.child = child;
    }

    /// An enrolment link, as the operator makes it: with the real command, while the relay runs.
    #[must_use]
    pub fn enrolment(&self, channels: u16) -> String {
        let made = Command::new(binary("tacit-server"))
            .args(["enrol", "--data"])
            .arg(self.data.path().join("data"))
            .args(["--channels", &channels.to_string()])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Most tries to get a port back: while the relay is down, any connection of this machine may hold it for a moment.
const TRIES: usize = 200;

fn spawn(folder: &Path, listen: &str) -> (Child, String) {
    for _ in 0..TRIES {
        let mut child = Command::new(binary("tacit-server"))
            .arg("--config")
            .arg(folder.join("test.toml"))
            .arg("--data")
            .arg(folder.join("data"))
            .args(["--listen", listen])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(ready) = lines.next() else {
            kill(&mut child);
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        let address = ready.unwrap().strip_prefix("ready ws://").expect("where it serves").to_owned();
        // Whatever else it says is of no interest, but the pipe must stay open.
        std::thread::spawn(move || lines.for_each(drop));
        return (child, address);
    }
    panic!("the relay does not get ready");
}
