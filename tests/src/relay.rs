//! A relay: the real binary, in a process of its own.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::process::{binary, kill, random_below};

/// Where its standard error goes, and what its standard output says after the line that it is ready.
const LOG: &str = "log";
const SAID: &str = "said";

/// A running relay. Killed when dropped.
pub struct Relay {
    data: TempDir,
    scheme: String,
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
        Self::start_at(|_| config.to_owned())
    }

    /// The same with lines that depend on the port.
    #[must_use]
    pub fn start_at(mut config: impl FnMut(u16) -> String) -> Self {
        let data = tempfile::tempdir().unwrap();
        // Below the ports that the system gives to outgoing connections: while a relay is down, one of those would take
        // its port, and keep it for as long as it lasts.
        loop {
            let port = u16::try_from(20_000 + random_below(12_000)).unwrap();
            std::fs::write(data.path().join("test.toml"), config(port)).unwrap();
            let listen = format!("127.0.0.1:{port}");
            let program = Command::new(binary("tacit-server"));
            if let Some((child, scheme, address)) = spawn(program, data.path(), &listen) {
                return Self { data, scheme, address, child };
            }
        }
    }

    /// `ws` or `wss`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
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

    /// What it has logged so far, over all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join(LOG)).unwrap()
    }

    /// What it said on standard output after it was ready, over all its lives.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.data.path().join(SAID)).unwrap()
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

    /// SIGTERM, and waits for its end in good order.
    pub fn end(&mut self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success() && self.child.wait().unwrap().success());
    }

    /// Starts the killed relay again, where it was.
    pub fn restart(&mut self) {
        self.restart_as(Command::new(binary("tacit-server")));
    }

    /// The same as another program, which is called as `tacit-server` is.
    pub fn restart_as(&mut self, program: Command) {
        self.kill();
        let (child, _, address) = spawn(program, self.data.path(), &self.address).expect("the relay starts again");
        assert_eq!(address, self.address);
        self.child = child;
    }

    /// Runs `tacit-server COMMAND ARGUMENTS --data …`, which must succeed: what it printed.
    pub fn operate(&self, command: &str, arguments: &[&str]) -> String {
        let done = Command::new(binary("tacit-server"))
            .arg(command)
            .args(arguments)
            .arg("--data")
            .arg(self.data.path().join("data"))
            // A relay that is installed on this machine is another one.
            .env("TACIT_CONFIG", "/dev/null")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// An enrolment link, as the operator makes it: with the real command, while the relay runs.
    #[must_use]
    pub fn enrolment(&self, channels: u16) -> String {
        self.operate("enrol", &["--channels", &channels.to_string()]).trim().to_owned()
    }

    /// The disk of the killed relay is gone.
    pub fn lose_disk(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.data.path().join("data")).unwrap();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
    }
}

fn append(folder: &Path, name: &str) -> File {
    OpenOptions::new().create(true).append(true).open(folder.join(name)).unwrap()
}

/// None: it does not get ready, for instance because the port is taken.
fn spawn(mut program: Command, folder: &Path, listen: &str) -> Option<(Child, String, String)> {
    let mut child = program
        .arg("--config")
        .arg(folder.join("test.toml"))
        .arg("--data")
        .arg(folder.join("data"))
        .args(["--listen", listen])
        .stdout(Stdio::piped())
        .stderr(append(folder, LOG))
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let Some(ready) = lines.next() else {
        kill(&mut child);
        return None;
    };
    let ready = ready.unwrap();
    let (scheme, address) =
        ready.strip_prefix("ready ").and_then(|url| url.split_once("://")).expect("where it serves");
    let (scheme, address) = (scheme.to_owned(), address.to_owned());
    // What else it says is for the operator of an empty relay.
    let mut said = append(folder, SAID);
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| writeln!(said, "{line}").unwrap()));
    Some((child, scheme, address))
}
