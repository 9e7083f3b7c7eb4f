//! What the numbers are called, and Prometheus' text format (version 0.0.4). Libraries for it keep live numbers of their
//! own, and what is shown here is not live.

use std::fmt::Write as _;

use crate::counters::Counter;

/// A number that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    Counted(Counter),
    Connections,
    Attached,
    Channels,
    WaitingBoxes,
    WaitingBytes,
    ConnectionsLimit,
    CommitQueue,
    SpoolWritable,
    EpochAge,
    SpoolFile,
    DiskFree,
    DiskShare,
    Memory,
    MemoryShare,
    Pressure,
    Away,
    CertificateLeft,
    Up,
    Build,
}

/// A metric, and its number. `None`: there is none yet.
pub(super) type Sample = (Metric, Option<u64>);

impl Metric {
    const fn name(self) -> &'static str {
        match self {
            Self::Counted(counter) => match counter {
                Counter::Accepted => "tacit_boxes_accepted_total",
                Counter::Spooled => "tacit_boxes_spooled_total",
                Counter::Delivered => "tacit_boxes_delivered_total",
                Counter::Acked => "tacit_boxes_acked_total",
                Counter::Expired => "tacit_boxes_expired_total",
                Counter::Refused(_) => "tacit_requests_refused_total",
                Counter::Connections => "tacit_connections_total",
                Counter::HandshakesFailed => "tacit_handshakes_failed_total",
                Counter::Pages => "tacit_pages_total",
            },
            Self::Connections => "tacit_connections",
            Self::Attached => "tacit_attached_ends",
            Self::Channels => "tacit_channels",
            Self::WaitingBoxes => "tacit_waiting_boxes",
            Self::WaitingBytes => "tacit_waiting_bytes",
            Self::ConnectionsLimit => "tacit_connections_limit",
            Self::CommitQueue => "tacit_commit_queue",
            Self::SpoolWritable => "tacit_spool_writable",
            Self::EpochAge => "tacit_epoch_age_seconds",
            Self::SpoolFile => "tacit_spool_file_bytes",
            Self::DiskFree => "tacit_disk_free_bytes",
            Self::DiskShare => "tacit_disk_share_bytes",
            Self::Memory => "tacit_memory_bytes",
            Self::MemoryShare => "tacit_memory_share_bytes",
            Self::Pressure => "tacit_pressure",
            Self::Away => "tacit_away",
            Self::CertificateLeft => "tacit_certificate_left_seconds",
            Self::Up => "tacit_up_seconds",
            Self::Build => "tacit_build_info",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Counted(counter) => match counter {
                Counter::Accepted => "Boxes accepted from senders (blurred)",
                Counter::Spooled => "Boxes on their way to disk, because nobody acked them in time (blurred)",
                Counter::Delivered => "Boxes handed to devices; one that is delivered again counts again (blurred)",
                Counter::Acked => "Boxes acked by devices (blurred)",
                Counter::Expired => "Boxes that nobody fetched within the hold (blurred)",
                Counter::Refused(_) => "Requests refused, by why (blurred)",
                Counter::Connections => "Connections served (blurred)",
                Counter::HandshakesFailed => "Connections that came to nothing (blurred)",
                Counter::Pages => "Pages shown to browsers (blurred)",
            },
            Self::Connections => "Connections served now (blurred)",
            Self::Attached => "Ends that a device has attached now (blurred)",
            Self::Channels => "Channels there are (blurred)",
            Self::WaitingBoxes => "Boxes that wait or are on their way (blurred)",
            Self::WaitingBytes => "Their bytes (blurred, in steps of 1 MiB)",
            Self::ConnectionsLimit => "Most connections at once",
            Self::CommitQueue => "Changes that await their transaction, in steps of 16",
            Self::SpoolWritable => "1 if the last transaction could be made, else 0",
            Self::EpochAge => "How long the epoch has lasted; deleted boxes are unreadable after two",
            Self::SpoolFile => "Length of the spool's file, in steps of 64 MiB",
            Self::DiskFree => "What the file system would still give, in steps of 64 MiB",
            Self::DiskShare => "The relay's share of the disk",
            Self::Memory => "The process's memory, in steps of 8 MiB",
            Self::MemoryShare => "The relay's share of that; 0 if it is not known",
            Self::Pressure => "How scarce disk and memory are: 0 calm, 1 tight, 2 critical",
            Self::Away => "1 if the relay is drained or ending, else 0",
            Self::CertificateLeft => "For how long the certificate is good; 0 if it is not, or there is none yet",
            Self::Up => "How long the relay has been running",
            Self::Build => "The program's version",
        }
    }

    fn labels(self) -> String {
        match self {
            Self::Counted(counter @ Counter::Refused(_)) => {
                format!("{{why=\"{}\"}}", counter.name().trim_start_matches("refused_"))
            }
            Self::Build => format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")),
            _ => String::new(),
        }
    }
}

/// The text format. Samples of one name follow each other.
pub(super) fn text(samples: &[Sample]) -> String {
    let mut out = String::with_capacity(8 * 1_024);
    let mut last = "";
    for (metric, value) in samples {
        let name = metric.name();
        if name != last {
            let kind = if matches!(metric, Metric::Counted(_)) { "counter" } else { "gauge" };
            let described = write!(out, "# HELP {name} {}\n# TYPE {name} {kind}\n", metric.help());
            debug_assert!(described.is_ok(), "writing to a string does not fail");
            last = name;
        }
        if let Some(value) = value {
            let written = writeln!(out, "{name}{} {value}", metric.labels());
            debug_assert!(written.is_ok(), "writing to a string does not fail");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use tacit_proto::frame::Refusal;

    use super::*;

    #[test]
    fn a_name_is_described_once_and_has_a_line_for_each_label() {
        let samples = [
            (Metric::Counted(Counter::Refused(Refusal::Full)), Some(50)),
            (Metric::Counted(Counter::Refused(Refusal::Busy)), Some(0)),
            (Metric::Channels, None),
            (Metric::Pressure, Some(2)),
        ];
        let wanted = "# HELP tacit_requests_refused_total Requests refused, by why (blurred)\n\
                      # TYPE tacit_requests_refused_total counter\n\
                      tacit_requests_refused_total{why=\"full\"} 50\n\
                      tacit_requests_refused_total{why=\"busy\"} 0\n\
                      # HELP tacit_channels Channels there are (blurred)\n\
                      # TYPE tacit_channels gauge\n\
                      # HELP tacit_pressure How scarce disk and memory are: 0 calm, 1 tight, 2 critical\n\
                      # TYPE tacit_pressure gauge\n\
                      tacit_pressure 2\n";
        assert_eq!(text(&samples), wanted);
    }
}
