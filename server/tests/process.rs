//! The program itself: its commands, its output, its end by signal and by force.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use support::{Client, Pair, enrol, sealed};
use tacit_proto::End;
use tacit_proto::frame::{Answer, Event, FromRelay, Refusal, Request};
use tacit_proto::link::EnrolmentLink;
use tempfile::TempDir;
use tokio::net::TcpStream;

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tacit-server"));
    // A relay that is installed on this machine is another one.
    program.env_remove("TACIT_LOG").env("TACIT_CONFIG", "/dev/null");
    program
}

fn output(program: &mut Command) -> Output {
    program.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A relay in a process of its own. Killed when dropped.
struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
    url: String,
}

impl Process {
    fn start(data: &Path) -> Self {
        Self::start_with(program().arg("--data").arg(data).args(["--listen", "127.0.0.1:0"]))
    }

    fn start_with(program: &mut Command) -> Self {
        let mut child = program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let url = line.strip_prefix("ready ").unwrap_or_else(|| panic!("not ready: {line:?}")).trim_end().to_owned();
        Self { child, out, url }
    }

    async fn connect(&self) -> Client<TcpStream> {
        Client::connect(self.url.strip_prefix("ws://").unwrap().parse().unwrap()).await
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The rest of both outputs, and the exit code.
    fn wait(mut self) -> (String, String, Option<i32>) {
        let code = self.child.wait().unwrap().code();
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (out, err, code)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn link(data: &Path, more: &[&str]) -> EnrolmentLink {
    let printed = output(program().args(["enrol", "--data"]).arg(data).args(more));
    assert!(printed.status.success());
    assert!(text(&printed.stderr).starts_with("Enrolment "), "how to revoke it, beside the link");
    let lines: Vec<&str> = text(&printed.stdout).lines().collect();
    assert_eq!(lines.len(), 1, "the link and nothing else");
    EnrolmentLink::parse(lines[0]).unwrap()
}

fn data() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("made if missing");
    (folder, data)
}

// Starting and enrolling.

#[tokio::test]
async fn it_serves_where_it_says_and_tells_how_to_enrol_on_an_empty_relay_only() {
    let (_folder, data) = data();
    let relay = Process::start(&data);
    let link = link(&data, &["--channels", "2"]);
    assert_eq!(link.relay.address.as_str(), relay.url, "the real port");
    assert_eq!(link.permits, 2);
    let mut client = relay.connect().await;
    let permits = enrol(&mut client, &link.code, 2).await;
    Pair::open(&mut client, &permits[0]).await;
    relay.signal("-TERM");
    let (out, _, code) = relay.wait();
    assert_eq!(code, Some(0));
    let command = format!("    tacit-server enrol --data '{}'\n", data.display());
    assert!(out.contains(&command), "{out}");

    let relay = Process::start(&data);
    relay.signal("-INT");
    let (out, err, code) = relay.wait();
    assert_eq!((out.as_str(), code), ("", Some(0)), "{err}");
}

#[tokio::test]
async fn enrol_works_before_the_relay_ever_ran() {
    let (_folder, data) = data();
    let link = link(&data, &[]);
    assert_eq!(link.relay.address.as_str(), "ws://127.0.0.1:7443");
    assert_eq!(link.permits, 50);
    let relay = Process::start(&data);
    enrol(&mut relay.connect().await, &link.code, 50).await;
    relay.signal("-TERM");
    assert_eq!(relay.wait().0, "", "an open enrolment is enough to know how");
}

#[tokio::test]
async fn an_expired_link_enrols_nobody() {
    let (_folder, data) = data();
    let relay = Process::start(&data);
    let code = link(&data, &["--expires", "0s"]).code;
    let asked = relay.connect().await.ask(Request::Enrol { code, permit_hashes: vec![support::permit_hash()] }).await;
    assert_eq!(asked, Answer::Refused(Refusal::NoPermit));
}

#[test]
fn an_enrolment_is_listed_and_revoked_whether_the_relay_runs_or_not() {
    let (_folder, data) = data();
    let listed = || text(&output(program().args(["enrolments", "--data"]).arg(&data)).stdout).to_owned();
    let enrolled = || {
        let link = link(&data, &["--channels", "7"]);
        tacit_server::spool::EnrolmentId::of(&link.code.hash()).to_hex()
    };
    let revoke = |id: &str| {
        let revoked = output(program().args(["revoke", id, "--data"]).arg(&data));
        assert!(revoked.status.success(), "{}", text(&revoked.stderr));
    };
    let first = enrolled();
    assert!(listed().starts_with(&format!("{first}  7 of 7 channels left, link not used yet, good for ")));
    revoke(&first);
    let _relay = Process::start(&data);
    assert!(listed().starts_with("No enrolment"), "{}", listed());
    let second = enrolled();
    assert!(listed().starts_with(&second));
    revoke(&second);
    fails(program().args(["revoke", &second, "--data"]).arg(&data), 1, "anything left to revoke");
    fails(program().args(["revoke", "nonsense", "--data"]).arg(&data), 1, "16 hexadecimal digits");
    assert!(listed().starts_with("No enrolment"));
}

#[test]
fn a_configuration_file_says_the_same_to_both_commands() {
    let (folder, data) = data();
    let file = folder.path().join("tacit.toml");
    let settings = format!("data = {data:?}\nlisten = \"127.0.0.1:0\"\nurl = \"wss://relay.example\"\n");
    std::fs::write(&file, settings).unwrap();
    let relay = Process::start_with(program().arg("run").arg("--config").arg(&file));
    let printed = output(program().arg("enrol").arg("--config").arg(&file));
    let link = EnrolmentLink::parse(text(&printed.stdout)).unwrap();
    assert_eq!(link.relay.address.as_str(), "wss://relay.example");
    assert_eq!(self::link(&data, &[]).relay.address.as_str(), "wss://relay.example", "noted by the relay");
    let over = self::link(&data, &["--url", "wss://other.example"]);
    assert_eq!(over.relay.address.as_str(), "wss://other.example");
    drop(relay);
}

#[test]
fn init_writes_what_runs_and_never_over_what_is_there() {
    let (folder, data) = data();
    let init = || {
        let mut init = program();
        init.arg("init").arg("--folder").arg(folder.path()).arg("--data").arg(&data);
        init.args(["--url", "ws://127.0.0.1:7443", "--tls", "off", "--operator", "A practice"]);
        init
    };
    let written = output(&mut init());
    assert!(written.status.success(), "{}", text(&written.stderr));
    let config = folder.path().join("tacit.toml");
    assert!(std::fs::read_to_string(folder.path().join("tacit-server.service")).unwrap().contains("ExecStart="));
    fails(&mut init(), 1, "is left as it is");
    fails(program().arg("init").arg("--folder").arg(&data), 1, "--url is missing");

    let checked = output(program().arg("check-config").arg("--config").arg(&config));
    assert!(text(&checked.stdout).starts_with("The configuration can be used."), "{}", text(&checked.stderr));
    let _relay = Process::start_with(program().arg("--config").arg(&config).args(["--listen", "127.0.0.1:0"]));
    let status = output(program().args(["status", "--json", "--config"]).arg(&config));
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["hold"], 21 * 24 * 3_600);
    for command in ["drain", "resume"] {
        assert!(output(program().arg(command).arg("--config").arg(&config)).status.success());
    }
}

#[test]
fn what_init_writes_can_be_read_by_the_relays_user_whatever_the_umask() {
    let (folder, data) = data();
    let place = folder.path().join("etc");
    let mut init = Command::new("sh");
    init.args(["-c", "umask 077; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tacit-server"), "init", "--folder"])
        .arg(&place);
    init.arg("--data").arg(&data).args(["--url", "ws://127.0.0.1:7443", "--tls", "off", "--operator", ""]);
    let written = output(init.env("TACIT_CONFIG", "/dev/null"));
    assert!(written.status.success(), "{}", text(&written.stderr));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place), mode(&place.join("tacit.toml")), mode(&data)), (0o755, 0o644, 0o700));
    assert!(text(&written.stdout).contains("chown -R tacit: "), "{}", text(&written.stdout));
}

#[test]
fn root_works_in_the_relays_folder_as_its_owner_and_follows_no_link_there() {
    use std::os::unix::fs::{MetadataExt, chown, symlink};
    let (folder, data) = data();
    std::fs::create_dir(&data).unwrap();
    if chown(&data, Some(12_345), Some(12_346)).is_err() {
        println!("only root can show this");
        return;
    }
    // Where every user can come to it.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("tacit-server");
    std::fs::copy(env!("CARGO_BIN_EXE_tacit-server"), &copy).unwrap();
    let run = |command: &str| {
        let done = output(Command::new(&copy).arg(command).arg("--data").arg(&data).env("TACIT_CONFIG", "/dev/null"));
        assert!(done.status.success() || command == "doctor", "{command}: {}", text(&done.stderr));
    };
    let outside = folder.path().join("outside");
    std::fs::write(&outside, "root's").unwrap();
    symlink(&outside, data.join("doctor.new")).unwrap();
    ["enrol", "enrolments", "compact", "migrate", "doctor"].iter().for_each(|command| run(command));
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "root's");
    assert_eq!(std::fs::metadata(&outside).unwrap().uid(), 0);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&data).unwrap() {
        let (name, about) = entry.map(|entry| (entry.file_name(), entry.metadata().unwrap())).unwrap();
        assert_eq!((about.uid(), about.gid()), (12_345, 12_346), "{name:?}");
        names.push(name.into_string().unwrap());
    }
    assert!(names.contains(&"spool.redb".to_owned()) && names.contains(&"enrolments".to_owned()), "{names:?}");
}

#[test]
fn a_restore_that_cannot_write_the_configuration_restores_nothing() {
    let (folder, data) = data();
    let config = folder.path().join("tacit.toml");
    std::fs::write(&config, "hold = \"2d\"\n").unwrap();
    drop(Process::start_with(
        program().arg("--config").arg(&config).arg("--data").arg(&data).args(["--listen", "127.0.0.1:0"]),
    ));
    let file = folder.path().join("backup");
    let written = output(program().arg("backup").arg(&file).arg("--config").arg(&config).arg("--data").arg(&data));
    assert!(written.status.success(), "{}", text(&written.stderr));
    let (new, place) = (folder.path().join("new"), folder.path().join("etc").join("tacit.toml"));
    let restore = |to: &Path| {
        let mut restore = program();
        restore.arg("restore").arg(&file).arg("--data").arg(&new).arg("--write-config").arg(to);
        restore
    };
    fails(&mut restore(&config), 1, "tacit.toml: ");
    assert!(!new.exists());
    let restored = output(&mut restore(&place));
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "hold = \"2d\"\n");
    let another = folder.path().join("another.toml");
    fails(&mut restore(&another), 1, "");
    assert!(!another.exists(), "over a spool nothing is restored, and nothing is left behind");
}

#[test]
fn the_doctor_finds_what_is_bad_and_says_what_to_do() {
    let (_folder, data) = data();
    let examined = |more: &[&str]| {
        let examined = output(
            program().args(["doctor", "--data"]).arg(&data).envs(more.iter().filter_map(|set| set.split_once('='))),
        );
        (text(&examined.stdout).to_owned(), examined.status.success())
    };
    let _relay = Process::start_with(program().args(["--listen", "127.0.0.1:0", "--data"]).arg(&data));
    let (report, _) = examined(&[]);
    assert!(report.contains("ok    relay          has been running"), "{report}");
    assert!(report.contains("ok    data folder    is its owner's alone"), "{report}");
    let (report, is_well) = examined(&["TACIT_TLS=pinned", "TACIT_URL=wss://no-such-name.invalid"]);
    assert!(report.contains("BAD   name ") && report.contains("make an A or AAAA record"), "{report}");
    assert!(!is_well);
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert!(examined(&[]).0.contains("BAD   data folder    can be entered by others; chmod 700"));
    let (report, _) = examined(&["TACIT_TLS=files"]);
    assert!(report.contains("BAD   configuration  tls = \"files\" needs `certificate`"), "{report}");
}

// Errors.

fn fails(program: &mut Command, code: i32, says: &str) {
    let failed = output(program);
    let err = text(&failed.stderr);
    assert_eq!(failed.status.code(), Some(code), "{err}");
    assert!(err.contains(says), "{err}");
    assert_eq!(text(&failed.stdout), "");
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    let (folder, data) = data();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    fails(program().arg("serve"), 2, "serve");
    fails(program().args(["--listen", "nonsense"]), 2, "--listen");
    fails(program().args(["enrol", "--channels", "257"]), 2, "from 1 to 256");
    fails(program().args(["enrol", "--channels", "0"]), 2, "from 1 to 256");
    fails(program().args(["enrol", "--expires", "soon"]), 2, "a length of time");
    fails(program().args(["enrol", "--url", "ws://relay.example"]), 2, "unencrypted");
    fails(program().args(["--config", "/nowhere/tacit.toml"]), 1, "tacit-server: /nowhere/tacit.toml");
    fails(program().arg("--config").arg(file("a", "holds = \"1d\"")), 1, "did you mean `hold`?");
    let short = file("b", &format!("data = {data:?}\nlisten = \"127.0.0.1:0\"\nhold = \"1s\""));
    fails(program().arg("--config").arg(short), 1, "hold must be");
    fails(program().args(["--listen", "0.0.0.0:0"]), 1, "tls = \"proxy\"");
    fails(program().args(["--listen", "127.0.0.1:0", "--data"]).arg(file("c", "")), 1, "tacit-server: ");
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn a_data_folder_in_use_is_refused() {
    let (_folder, data) = data();
    let _relay = Process::start(&data);
    fails(program().args(["--listen", "127.0.0.1:0", "--data"]).arg(&data), 1, "in use by another tacit-server");
}

// Ending.

#[tokio::test]
async fn sigterm_answers_what_is_under_way_tells_everybody_and_ends_well() {
    let (_folder, data) = data();
    let relay = Process::start(&data);
    let permits = enrol(&mut relay.connect().await, &link(&data, &[]).code, 50).await;
    let pair = Pair::open(&mut relay.connect().await, &permits[0]).await.claimed(&mut relay.connect().await).await;
    let (mut a, mut b) = (relay.connect().await, relay.connect().await);
    let a_handle = a.attach(pair.of(End::A), &pair.a).await.unwrap().handle;
    b.attach(pair.of(End::B), &pair.b).await.unwrap();
    let sent = a.send(a_handle, 1, sealed(1)).await;
    assert!(matches!(b.event().await, Event::Drained(_)));
    assert_eq!(b.delivery().await, (1, 1));
    relay.signal("-TERM");
    let mut heard = Vec::new();
    while let Some(frame) = a.read().await {
        heard.push(frame);
    }
    let accepted = |frame: &FromRelay| matches!(frame, FromRelay::Answer(id, Answer::Accepted { .. }) if *id == sent);
    assert!(heard.iter().any(accepted), "{heard:?}");
    assert!(matches!(heard.last(), Some(FromRelay::Event(Event::Restarting { .. }))), "{heard:?}");
    assert_eq!(b.close_code().await, Some(1012));
    let (_, err, code) = relay.wait();
    assert_eq!(code, Some(0), "{err}");

    let relay = Process::start(&data);
    let mut b = relay.connect().await;
    assert_eq!(b.attach(pair.of(End::B), &pair.b).await.unwrap().waiting, 1);
    assert_eq!(b.delivery().await, (1, 1));
}

#[tokio::test]
async fn nothing_accepted_is_lost_when_the_relay_is_killed() {
    let (_folder, data) = data();
    let relay = Process::start(&data);
    let permits = enrol(&mut relay.connect().await, &link(&data, &[]).code, 50).await;
    let pair = Pair::open(&mut relay.connect().await, &permits[0]).await.claimed(&mut relay.connect().await).await;
    let mut relay = Some(relay);
    let mut accepted = 0;
    let mut arrived: BTreeMap<u32, u32> = BTreeMap::new();
    for round in 0..12_u32 {
        let process = relay.take().unwrap();
        let (mut a, mut b) = (process.connect().await, process.connect().await);
        let a_handle = a.attach(pair.of(End::A), &pair.a).await.unwrap().handle;
        // Every other round nobody fetches, so that both ways of being accepted meet the kill.
        let fetches = round % 2 == 1;
        if fetches {
            b.attach(pair.of(End::B), &pair.b).await.unwrap();
        }
        let first = accepted + 1;
        for number in first..first + 40 {
            a.send(a_handle, (number - first + 1).into(), sealed(number)).await;
        }
        // Killed in the middle of it: after a number of answers that differs from round to round.
        for _ in 0..=round * 3 {
            loop {
                match a.read().await.unwrap() {
                    FromRelay::Answer(_, Answer::Accepted { n, .. }) => {
                        accepted = first + n as u32 - 1;
                        break;
                    }
                    FromRelay::Event(_) => {}
                    other @ FromRelay::Answer(..) => panic!("{other:?}"),
                }
            }
        }
        process.kill();
        if fetches {
            while let Some(frame) = b.read().await {
                if let FromRelay::Event(Event::Deliver { payload, .. }) = frame {
                    *arrived.entry(support::number_of(&payload)).or_default() += 1;
                }
            }
        }
        relay = Some(Process::start(&data));
    }
    let relay = relay.unwrap();
    let mut b = relay.connect().await;
    let attached = b.attach(pair.of(End::B), &pair.b).await.unwrap();
    let mut in_order = Vec::new();
    loop {
        match b.event().await {
            Event::Deliver { seq, payload, last, .. } => {
                in_order.push(support::number_of(&payload));
                b.ack(attached.handle, seq).await;
                if last {
                    break;
                }
            }
            Event::Drained(_) => break,
            other => panic!("{other:?}"),
        }
    }
    for number in &in_order {
        *arrived.entry(*number).or_default() += 1;
    }
    let missing: Vec<u32> = (1..=accepted).filter(|number| !arrived.contains_key(number)).collect();
    assert!(missing.is_empty(), "accepted and lost: {missing:?}");
    let mut seen = 0;
    for number in in_order {
        assert!(number <= seen + 1, "{number} came before {}", seen + 1);
        seen = seen.max(number);
    }
    assert!(seen >= accepted);
}

#[tokio::test]
async fn no_log_at_any_level_tells_anything_about_anybody() {
    let (_folder, data) = data();
    let mut command = program();
    command.env("TACIT_LOG", "trace").arg("--data").arg(&data).args(["--listen", "127.0.0.1:0"]);
    let relay = Process::start_with(&mut command);
    let code = link(&data, &[]).code;
    let permits = enrol(&mut relay.connect().await, &code, 50).await;
    let pair = Pair::open(&mut relay.connect().await, &permits[0]).await.claimed(&mut relay.connect().await).await;
    let mut a = relay.connect().await;
    let a_handle = a.attach(pair.of(End::A), &pair.a).await.unwrap().handle;
    let sent = a.send(a_handle, 1, sealed(1)).await;
    assert!(matches!(a.answer(sent).await, Answer::Accepted { .. }));
    assert_eq!(a.attach(pair.of(End::B), &pair.invite).await, Err(Refusal::Used));
    a.ack(a_handle, 99).await;
    assert_eq!(a.close_code().await, Some(1002));
    relay.signal("-TERM");
    let (_, log, _) = relay.wait();
    assert!(log.contains("a connection ended"), "the log is there: {log}");
    for secret in [
        hex::encode(pair.channel.as_bytes()),
        hex::encode(pair.a.public().as_bytes()),
        hex::encode(code.hash().as_bytes()),
        format!("{:?}", pair.channel.as_bytes()),
        "127.0.0.1".to_owned(),
        "5a5a5a5a".to_owned(),
        "ZZZZ".to_owned(),
    ] {
        assert!(!log.contains(&secret), "{secret} in {log}");
    }
}
