//! A relay: the real binary, in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::process::{binary, kill, random_below};

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
        // Below the ports that the system gives to outgoing connections: while a relay is down, one of those would take
        // its port, and keep it for as long as it lasts.
        loop {
            let listen = format!("127.0.0.1:{}", 20_000 + random_below(12_000));
            if let Some((child, address)) = spawn(data.path(), &listen) {
                return Self { data, address, child };
            }
        }
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
        let (child, address) = spawn(self.data.path(), &self.address).expect("the relay starts again");
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

/// None: it does not get ready, for instance because the port is taken.
fn spawn(folder: &Path, listen: &str) -> Option<(Child, String)> {
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
        return None;
    };
    let ready = ready.unwrap();
    let (_, address) = ready.strip_prefix("ready ").and_then(|url| url.split_once("://")).expect("where it serves");
    let address = address.to_owned();
    // Whatever else it says is of no interest, but the pipe must stay open.
    std::thread::spawn(move || lines.for_each(drop));
    Some((child, address))
}
