//! The program on files that cannot grow, for real: the kernel refuses every write beyond a limit that is set, and lifted,
//! while it runs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![cfg(target_os = "linux")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use support::{Client, Pair, enrol, patiently, rng, sealed, sealed_of};
use tacit_proto::frame::{Answer, Handle, Refusal};
use tacit_proto::{End, EnrolCode, SizeClass};
use tacit_server::{Enrolments, Offer};
use tokio::net::TcpStream;

/// A relay in a process of its own. Killed when dropped.
struct Process {
    child: Child,
    addr: std::net::SocketAddr,
    /// Open, or what it prints would have nowhere to go.
    _out: BufReader<ChildStdout>,
}

impl Process {
    fn start(data: &Path) -> Self {
        // Whoever exceeds the limit gets a signal, and an error only if that is ignored; a new program inherits this.
        let mut child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tacit-server")])
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let addr = line.strip_prefix("ready ws://").unwrap_or_else(|| panic!("not ready: {line:?}")).trim_end();
        Self { child, addr: addr.parse().unwrap(), _out: out }
    }

    /// Sets the length that no file may exceed.
    fn limit_files(&self, bytes: &str) {
        let done = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string(), &format!("--fsize={bytes}:unlimited")])
            .status()
            .unwrap();
        assert!(done.success());
    }

    async fn connect(&self) -> Client<TcpStream> {
        Client::connect(self.addr).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends boxes, the first of which is to be the `next`, until one is refused. Returns which.
async fn fill(client: &mut Client<TcpStream>, handle: Handle, next: u32, class: SizeClass) -> u32 {
    for number in next..next + 2_000 {
        let sent = client.send(handle, number.into(), sealed_of(class, number)).await;
        match client.answer(sent).await {
            Answer::Accepted { .. } => {}
            Answer::Refused(Refusal::Busy) => return number,
            other => panic!("{other:?}"),
        }
    }
    panic!("the limit was never met");
}

#[tokio::test]
async fn a_disk_that_is_full_refuses_senders_and_goes_on_delivering_and_recovers_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let code = EnrolCode::draw(&mut rng());
    let offer = Offer { permits: 2.try_into().unwrap(), expires: u64::MAX };
    Enrolments::open(&data).unwrap().add(&code.hash(), offer).unwrap();
    let relay = Process::start(&data);
    let permits = enrol(&mut relay.connect().await, &code, 2).await;
    let pair = Pair::open(&mut relay.connect().await, &permits[0]).await.claimed(&mut relay.connect().await).await;
    let mut a = relay.connect().await;
    let a_handle = a.attach(pair.of(End::A), &pair.a).await.unwrap().handle;

    // No file may grow any more.
    let len = std::fs::metadata(data.join("spool.redb")).unwrap().len();
    relay.limit_files(&len.to_string());
    let refused = fill(&mut a, a_handle, 1, SizeClass::Large).await;
    assert!(refused > 1, "there was room inside the file");
    // Where no large one fits, a small one may.
    let accepted = fill(&mut a, a_handle, refused, SizeClass::Small).await - 1;
    assert_eq!(std::fs::metadata(data.join("spool.redb")).unwrap().len(), len);
    let other = Pair::draw();
    let opening = other.open_request(&permits[1], 60);
    assert_eq!(a.ask(opening.clone()).await, Answer::Refused(Refusal::Busy), "nor is there room for a channel");

    // What was accepted is delivered, in order, and acked; what is sent to a device that is there needs no disk.
    let mut b = relay.connect().await;
    let b_handle = b.attach(pair.of(End::B), &pair.b).await.unwrap().handle;
    let mut last = 0;
    for number in 1..=accepted {
        let (seq, came) = b.delivery().await;
        assert_eq!(came, number);
        b.ack(b_handle, seq).await;
        last = seq;
    }
    assert!(b.was_last);
    let next = accepted + 1;
    let sent = a.send(a_handle, next.into(), sealed(next)).await;
    let (seq, number) = b.delivery().await;
    assert!(number == next && seq > last);
    b.ack(b_handle, seq).await;
    assert!(matches!(a.answer(sent).await, Answer::Accepted { .. }));
    assert!(b.was_last);
    drop(b);

    // There is room again. The same process goes on, however often it was refused.
    relay.limit_files("unlimited");
    let kept = patiently(async {
        let mut n = next + 1;
        loop {
            let sent = a.send(a_handle, n.into(), sealed(n)).await;
            match a.answer(sent).await {
                Answer::Accepted { .. } if n == next + 20 => break n,
                Answer::Accepted { .. } => n += 1,
                Answer::Refused(Refusal::Busy) => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert_eq!(a.ask(opening).await, Answer::Done);

    // And what it accepted is on the disk, and nothing else.
    drop(relay);
    let relay = Process::start(&data);
    let mut b = relay.connect().await;
    let b_handle = b.attach(pair.of(End::B), &pair.b).await.unwrap().handle;
    for number in next + 1..=kept {
        let (seq, came) = b.delivery().await;
        assert_eq!(came, number);
        b.ack(b_handle, seq).await;
    }
    assert!(b.was_last);
}
