//! `tacit-server doctor`: looks for what would keep the relay from serving well, and says what to do about each.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tacit_proto::link::RelayAddress;
use tacit_server::control::{Ask, AskError, Reply, ask};
use tacit_server::settings::{Settings, Tls};
use tacit_server::{Config, Pressure, Status, Transport, Usage, backup, check_files, private_file};

use crate::Failure;
use crate::args::Place;
use crate::control_commands::{bytes, length};

/// How long one look at the network may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// File descriptors beside those of connections: files, sockets, the runtime's own.
const OTHER_FILES: u64 = 64;

/// A sync that takes longer makes senders wait noticeably: some 30 ms are an old hard disk.
const SLOW_SYNC: Duration = Duration::from_millis(50);

/// When to think of renewing a certificate.
const SOON: Duration = Duration::from_secs(14 * 24 * 3_600);
const VERY_SOON: Duration = Duration::from_secs(2 * 24 * 3_600);

/// How a look went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Well,
    /// It serves; sooner or later somebody will be sorry.
    Mind,
    /// It does not serve, or not safely.
    Bad,
}

/// One line of the report.
#[derive(Debug)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    /// What was found, and unless all is well, what to do.
    says: String,
}

fn well(what: &'static str, says: impl Into<String>) -> Finding {
    Finding { what, verdict: Verdict::Well, says: says.into() }
}

fn mind(what: &'static str, says: impl Into<String>) -> Finding {
    Finding { what, verdict: Verdict::Mind, says: says.into() }
}

fn bad(what: &'static str, says: impl Into<String>) -> Finding {
    Finding { what, verdict: Verdict::Bad, says: says.into() }
}

/// Ends with an error if anything is bad.
pub(crate) fn doctor(place: &Place) -> Result<(), Failure> {
    let findings = match place.settings().and_then(|settings| {
        let config = settings.config()?;
        config.check()?;
        Ok((settings, config))
    }) {
        Ok((settings, config)) => examine(&settings, &config),
        Err(error) => vec![bad("configuration", error.to_string())],
    };
    let mut out = io::stdout().lock();
    for Finding { what, verdict, says } in &findings {
        let mark = match verdict {
            Verdict::Well => "ok  ",
            Verdict::Mind => "mind",
            Verdict::Bad => "BAD ",
        };
        writeln!(out, "{mark}  {what:<14} {says}")?;
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count() {
        0 => Ok(()),
        count => Err(format!("{count} of these keep the relay from serving, or from serving safely").into()),
    }
}

fn examine(settings: &Settings, config: &Config) -> Vec<Finding> {
    let (running, relay) = running(&config.data);
    let mut findings = vec![well("configuration", "can be used"), relay];
    findings.extend(folder(&config.data));
    findings.push(disk(config, running.as_ref()));
    findings.push(write_speed(&config.data));
    findings.push(files(config, running.as_ref()));
    findings.push(clock(&config.data));
    findings.push(port(settings, running.is_some()));
    findings.extend(certificate(config, running.as_ref()));
    findings.extend(name(settings));
    findings
}

fn running(data: &Path) -> (Option<Status>, Finding) {
    const WHAT: &str = "relay";
    match ask(data, &Ask::Status) {
        Ok(Reply::Status(status)) => {
            let finding = match &*status {
                Status { drained: Some(_), .. } => {
                    mind(WHAT, "is drained and serves nobody; `tacit-server resume` ends that")
                }
                Status { spool_writable: false, .. } => {
                    bad(WHAT, "runs, but cannot write its disk; see disk and folder below")
                }
                Status { up_secs, .. } => {
                    well(WHAT, format!("has been running for {}", length(Duration::from_secs(*up_secs))))
                }
            };
            (Some(*status), finding)
        }
        Ok(_) => (None, mind(WHAT, "is of another version than this program; restart it")),
        Err(AskError::NotRunning) => (None, mind(WHAT, "does not run; start it, and look at its log if it ends again")),
        Err(error) => (None, bad(WHAT, error.to_string())),
    }
}

/// Who may read the data folder. Nothing in it opens a sealed box, but it tells how many channels there are.
fn folder(data: &Path) -> Vec<Finding> {
    const WHAT: &str = "data folder";
    let about = match fs::metadata(data) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return vec![mind(WHAT, "is not there yet; the relay makes it when it starts")];
        }
        Err(error) => {
            return vec![bad(WHAT, format!("cannot be looked at ({error}); run this as root or as the relay's user"))];
        }
    };
    if about.mode() & 0o077 != 0 {
        return vec![bad(WHAT, format!("can be entered by others; chmod 700 {}", data.display()))];
    }
    let stranger = |about: &Metadata, owner: &Metadata| about.uid() != owner.uid();
    let entries = fs::read_dir(data).into_iter().flatten().flatten();
    let strange = entries.filter(|entry| entry.metadata().is_ok_and(|entry| stranger(&entry, &about)));
    match strange.count() {
        0 => vec![well(WHAT, "is its owner's alone")],
        count => vec![bad(
            WHAT,
            format!("has {count} files of another user; chown -R them to the owner of {}", data.display()),
        )],
    }
}

fn disk(config: &Config, running: Option<&Status>) -> Finding {
    const WHAT: &str = "disk, memory";
    let usage = running.map_or_else(|| Usage::measure(0, config), |status| status.usage);
    let (free, share) = (bytes(usage.disk_free), bytes(usage.disk_share));
    match usage.pressure() {
        Pressure::Calm => well(WHAT, format!("{free} of disk are free, the relay may take {share}")),
        Pressure::Tight => mind(
            WHAT,
            format!("run short ({free} of disk free): no new channels; free some, or raise `disk` or `memory`"),
        ),
        Pressure::Critical => {
            bad(WHAT, format!("are used up ({free} of disk free): hardly a box may wait; free some now"))
        }
    }
}

/// How long a sender waits for the disk: a small write and its sync, as the spool does it.
fn write_speed(data: &Path) -> Finding {
    const WHAT: &str = "write speed";
    let path = data.join("doctor.new");
    let measured = (|| {
        let mut file = private_file(&path)?;
        let mut times = Vec::new();
        for _ in 0..9 {
            let began = Instant::now();
            file.write_all(&[0; 4_096])?;
            file.sync_data()?;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        Ok::<_, io::Error>(times[times.len() / 2])
    })();
    // Whether or not it was made.
    drop(fs::remove_file(&path));
    match measured {
        Ok(median) if median > SLOW_SYNC => {
            mind(WHAT, format!("a small write takes {} ms to be durable; use a solid-state disk", median.as_millis()))
        }
        Ok(median) => well(WHAT, format!("a small write is durable after {:.1} ms", median.as_secs_f64() * 1_000.0)),
        Err(error) if error.kind() == ErrorKind::NotFound => mind(WHAT, "not measured: there is no data folder yet"),
        Err(error) => {
            bad(WHAT, format!("the data folder cannot be written ({error}); run this as root, or mend the disk"))
        }
    }
}

fn files(config: &Config, running: Option<&Status>) -> Finding {
    const WHAT: &str = "file limit";
    let limit = match running {
        Some(status) => status.file_limit,
        None => rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
    };
    let wanted = config.abuse.connections as u64 + OTHER_FILES;
    match limit {
        Some(limit) if limit < wanted => mind(
            WHAT,
            format!(
                "{limit} open files are too few for {wanted}; raise LimitNOFILE in the unit, or lower `connections`"
            ),
        ),
        _ => well(WHAT, format!("allows the {} connections that are configured", config.abuse.connections)),
    }
}

/// Holds and expiries go by the wall clock.
fn clock(data: &Path) -> Finding {
    const WHAT: &str = "clock";
    let now = SystemTime::now();
    let newest =
        fs::read_dir(data).into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok()?.modified().ok());
    if newest.max().is_some_and(|newest| newest > now + Duration::from_secs(300)) {
        return bad(
            WHAT,
            "stands before the last change of the data folder: it was set back; set it right, boxes' holds go by it",
        );
    }
    let synchronised = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
    match synchronised.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()) {
        Ok(said) if said == "yes" => well(WHAT, "is synchronised"),
        Ok(said) if said == "no" => mind(WHAT, "is not synchronised; install systemd-timesyncd or chrony"),
        _ => mind(WHAT, "whether it is synchronised cannot be told here; see to it with chrony or the like"),
    }
}

/// Whether devices will go on accepting the relay.
fn certificate(config: &Config, running: Option<&Status>) -> Option<Finding> {
    const WHAT: &str = "certificate";
    let until = match &config.transport {
        Transport::Plain { .. } => return None,
        Transport::Pinned => {
            return Some(match backup::kept_files(&config.data) {
                Err(error) => bad(WHAT, error.to_string()),
                Ok(kept) if kept.is_empty() => {
                    mind(WHAT, "the relay's own key is not made yet; the relay makes it when it starts")
                }
                Ok(_) => well(WHAT, "none is needed: links pin the relay's own key, which is in every backup"),
            });
        }
        Transport::Files { certificate, private_key } => {
            if let Some(finding) = readable_by_others(private_key) {
                return Some(finding);
            }
            let host = config.url.as_ref().map(RelayAddress::host);
            let on_disk = match check_files(certificate, private_key, host) {
                Ok(validity) => validity.until,
                Err(error) => return Some(bad(WHAT, error.to_string())),
            };
            // What devices are shown counts, and not what root can read.
            let shown = running.and_then(|status| status.certificate_until);
            match shown.map(|until| UNIX_EPOCH + Duration::from_secs(until)) {
                Some(shown) if shown + SOON < on_disk => {
                    let says =
                        "the relay still shows an older one than its files hold; may its user read them? The log says";
                    return Some(bad(WHAT, says));
                }
                Some(shown) => shown,
                None => on_disk,
            }
        }
        Transport::Acme(_) => match running.map(|status| status.certificate_until) {
            Some(Some(until)) => UNIX_EPOCH + Duration::from_secs(until),
            Some(None) => {
                let says = "the authority has not given one yet; it must reach this relay under its name on port 443. The log says why";
                return Some(bad(WHAT, says));
            }
            None => return Some(mind(WHAT, "the relay gets one by itself when it runs")),
        },
    };
    let left = until.duration_since(SystemTime::now()).unwrap_or_default();
    Some(match left {
        Duration::ZERO => bad(WHAT, "expired: no device connects any more; renew it"),
        left if left < SOON => {
            let says = match &config.transport {
                Transport::Acme(_) => {
                    "the relay renews it when a third of its time is left; if that is past, the log says what is in the way"
                }
                _ => "renew it (the relay notices by itself)",
            };
            let finding = if left < VERY_SOON { bad } else { mind };
            finding(WHAT, format!("expires in {}; {says}", length(left)))
        }
        left => well(WHAT, format!("is good for {}", length(left))),
    })
}

fn readable_by_others(private_key: &Path) -> Option<Finding> {
    let others = fs::metadata(private_key).is_ok_and(|about| about.mode() & 0o007 != 0);
    others.then(|| {
        bad("certificate", format!("its private key can be read by everybody; chmod 640 {}", private_key.display()))
    })
}

fn port(settings: &Settings, runs: bool) -> Finding {
    const WHAT: &str = "port";
    let listen = match settings.listen() {
        Ok(listen) => listen,
        Err(error) => return bad(WHAT, error.to_string()),
    };
    if runs {
        let mut there = listen;
        if there.ip().is_unspecified() {
            there.set_ip(if there.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
        }
        return match TcpStream::connect_timeout(&there, PATIENCE) {
            Ok(_) => well(WHAT, format!("the relay answers on {listen}")),
            Err(error) => {
                bad(WHAT, format!("the relay does not answer on {listen} ({error}); was `listen` changed? Restart it"))
            }
        };
    }
    match TcpListener::bind(listen) {
        Ok(_) => well(WHAT, format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            mind(WHAT, format!("{listen} may not be opened by this user; the unit allows it (CAP_NET_BIND_SERVICE)"))
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bad(WHAT, format!("something else listens on {listen}: `ss -tlnp` shows what; stop it, or change `listen`"))
        }
        Err(error) => bad(WHAT, format!("{listen} cannot be listened on ({error}); is it an address of this machine?")),
    }
}

/// Whether the name in links leads anywhere.
fn name(settings: &Settings) -> Vec<Finding> {
    const WHAT: &str = "name";
    let Some(url) = &settings.url else {
        return match settings.tls() {
            Tls::Off => vec![well(WHAT, "none: links carry the address that it listens on, for this machine only")],
            _ => vec![bad(
                WHAT,
                "`url` is not set: links would carry the address that it listens on; set url = \"wss://…\"",
            )],
        };
    };
    match (url.host(), url.port()).to_socket_addrs() {
        Ok(addresses) => match addresses.count() {
            0 => vec![bad(WHAT, "the name in `url` has no address; make an A or AAAA record for it")],
            count => vec![well(WHAT, format!("the name in `url` leads to {count} addresses"))],
        },
        Err(error) => {
            vec![bad(WHAT, format!("the name in `url` cannot be looked up ({error}); make an A or AAAA record for it"))]
        }
    }
}
