//! What an ack promises: by what the documentation says, and by what the server was seen to do.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

/// What is left of a message after its ack, by the server's own documentation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// It was synced to disk, or its recipient has acked it: it outlives a power cut.
    Synced,
    /// It was handed to the operating system: it outlives the server's process, and a power cut may take it.
    Written,
    /// It is in the server's memory: it is gone when the server is killed.
    Held,
}

impl Promise {
    pub fn text(self) -> &'static str {
        match self {
            Self::Synced => "synced to disk or acked by the recipient: outlives a power cut",
            Self::Written => "handed to the operating system, synced later: a power cut may take it",
            Self::Held => "in memory, saved later: killing the server may take it",
        }
    }
}

/// Watches when a process syncs.
pub struct Trace {
    strace: Child,
    dir: TempDir,
}

impl Trace {
    /// Whether one can.
    pub fn is_possible() -> bool {
        Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// Returns when it watches all threads.
    pub async fn of(process: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut strace = Command::new("strace")
            // A file for each thread: no call is cut in two.
            .args(["-ff", "-ttt", "-T", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs,msync", "-o"])
            .arg(dir.path().join("thread"))
            .args(["-p", &process.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = BufReader::new(strace.stderr.take().unwrap());
        let attached = tokio::task::spawn_blocking(move || {
            let mut lines = errors.lines().map_while(Result::ok);
            let attached = lines.any(|line| line.contains("attached"));
            std::thread::spawn(move || lines.for_each(drop));
            attached
        });
        assert!(attached.await.unwrap(), "strace cannot watch the server");
        Self { strace, dir }
    }

    /// The share of these spans in which a sync began and ended.
    pub fn share_synced(mut self, spans: &[(SystemTime, SystemTime)]) -> f64 {
        let told = Command::new("kill").args(["-INT", &self.strace.id().to_string()]).status().unwrap();
        assert!(told.success());
        self.strace.wait().unwrap();
        let mut syncs = Vec::new();
        for file in std::fs::read_dir(self.dir.path()).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            syncs.extend(text.lines().filter_map(sync));
        }
        let synced = |(sent, acked): &&(SystemTime, SystemTime)| {
            syncs.iter().any(|(began, ended)| began >= sent && ended <= acked)
        };
        spans.iter().filter(synced).count() as f64 / spans.len() as f64
    }
}

/// When a sync began and ended: `1795600066.123456 fdatasync(12) = 0 <0.000345>`.
fn sync(line: &str) -> Option<(SystemTime, SystemTime)> {
    let (began, call) = line.split_once(' ')?;
    let (call, lasted) = call.strip_suffix('>')?.rsplit_once('<')?;
    let seconds = |text: &str| Some(Duration::from_secs_f64(text.parse().ok()?));
    let began = SystemTime::UNIX_EPOCH + seconds(began)?;
    call.contains(" = 0").then_some((began, began + seconds(lasted)?))
}
