//! `tacit-server status`, `drain` and `resume`: what is asked of the running relay.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tacit_server::control::{Ask, Reply, ask};
use tacit_server::{Pressure, Status};

use crate::Failure;
use crate::args::{Drain, Place, Show};

/// An answer to another question.
pub(crate) const ODD_ANSWER: &str = "the relay answered something else; is it of another version? Restart it";

pub(crate) fn status(args: &Show) -> Result<(), Failure> {
    let status = match answer(&args.place, &Ask::Status)? {
        Reply::Status(status) => *status,
        _ => return Err(ODD_ANSWER.into()),
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&status)?)?;
    } else {
        write!(out, "{}", Told(&status))?;
    }
    Ok(())
}

pub(crate) fn drain(args: &Drain) -> Result<(), Failure> {
    done(answer(&args.place, &Ask::Drain { notice: args.notice.clone() })?, "drained: nobody is served until `resume`")
}

pub(crate) fn resume(place: &Place) -> Result<(), Failure> {
    done(answer(place, &Ask::Resume)?, "serving again")
}

fn answer(place: &Place, what: &Ask) -> Result<Reply, Failure> {
    match ask(&place.settings()?.data(), what)? {
        Reply::Refused(why) => Err(why.into()),
        reply => Ok(reply),
    }
}

fn done(reply: Reply, line: &str) -> Result<(), Failure> {
    match reply {
        Reply::Done => Ok(writeln!(std::io::stdout(), "{line}")?),
        _ => Err(ODD_ANSWER.into()),
    }
}

/// A status for people.
struct Told<'a>(&'a Status);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Status {
            version,
            up_secs,
            drained,
            pressure,
            spool_writable,
            certificate_until,
            holds,
            hold,
            counted,
            usage,
            ..
        } = self.0;
        let state = match (drained, spool_writable) {
            (Some(_), _) => "drained: nobody is served; `tacit-server resume` ends that",
            (None, false) => {
                "serving, but its disk cannot be written: it takes no new boxes; see `tacit-server doctor`"
            }
            (None, true) => "serving",
        };
        writeln!(f, "tacit-server {version}, {state}")?;
        writeln!(f, "  up            {}", length(Duration::from_secs(*up_secs)))?;
        writeln!(f, "  channels      {}, {} ends attached now", holds.channels, holds.attached)?;
        writeln!(
            f,
            "  waiting       {} boxes, {}; each kept {}",
            holds.boxes,
            bytes(holds.bytes),
            length(Duration::from_secs((*hold).into()))
        )?;
        let used = bytes(usage.spool_file);
        writeln!(
            f,
            "  disk          spool file {used}, {} free, share {}",
            bytes(usage.disk_free),
            bytes(usage.disk_share)
        )?;
        writeln!(f, "  memory        {} of a share of {}", bytes(usage.memory), bytes(usage.memory_share))?;
        if let Some(until) = certificate_until {
            let left = (UNIX_EPOCH + Duration::from_secs(*until)).duration_since(SystemTime::now()).unwrap_or_default();
            match left {
                Duration::ZERO => {
                    writeln!(f, "  certificate   EXPIRED: no device connects; see `tacit-server doctor`")?
                }
                left => writeln!(f, "  certificate   good for {}", length(left))?,
            }
        }
        let pressure = match pressure {
            Pressure::Calm => "none",
            Pressure::Tight => "disk or memory run short: no new channels, small backlogs; free some",
            Pressure::Critical => "disk or memory are almost used up: hardly anything may wait; free some now",
        };
        writeln!(f, "  pressure      {pressure}")?;
        let counted: Vec<String> =
            counted.iter().filter(|(_, count)| **count > 0).map(|(name, count)| format!("{name} {count}")).collect();
        let counted = if counted.is_empty() { "nothing".to_owned() } else { counted.join(", ") };
        writeln!(f, "  since it started: {counted}")
    }
}

/// As people say it: in the two largest units.
pub(crate) fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let from = parts.iter().position(|(number, _)| *number > 0).unwrap_or(parts.len() - 1);
    let told: Vec<String> = parts[from..].iter().take(2).map(|(number, unit)| format!("{number} {unit}")).collect();
    told.join(" ")
}

/// As people say it: three digits and a unit.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let unit = (1..UNITS.len()).take_while(|unit| bytes >> (10 * unit) > 0).last().unwrap_or(0);
    match unit {
        0 => format!("{bytes} B"),
        unit => {
            let tenths = (u128::from(bytes) * 10) >> (10 * unit);
            format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_amounts_are_told_as_people_say_them() {
        for (seconds, told) in [(0, "0 s"), (61, "1 min 1 s"), (3_600, "1 h 0 min"), (21 * 86_400, "21 d 0 h")] {
            assert_eq!(length(Duration::from_secs(seconds)), told);
        }
        for (amount, told) in
            [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KB"), (3 << 30, "3.0 GB"), (u64::MAX, "16777215.9 TB")]
        {
            assert_eq!(bytes(amount), told);
        }
    }
}
