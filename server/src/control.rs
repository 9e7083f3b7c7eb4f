//! The control socket: how the operator's commands reach the relay while it runs.
//!
//! A Unix socket in the data folder, which only the relay's own user (and root) may enter. One JSON line asks, one JSON
//! line answers. Nothing of it is for devices, and nothing that is told singles out a channel.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener as BlockingListener, UnixStream as BlockingStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tacit_proto::limits::MAX_NOTICE;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::backup::{self, Backups, Extras};
use crate::connection::Stage;
use crate::enrol::{Listed, Revoked};
use crate::hub::Hub;
use crate::spool::NotAnEnrolmentId;
use crate::status::{Since, Status};
use crate::sync::lock;
use crate::tls::Tls;

/// The socket in the data folder.
const SOCKET: &str = "control.sock";

/// Longest line that is read.
const MAX_LINE: u64 = 256 * 1024;

/// How long the other side may take for a line.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a drain waits for the disk. Well below [`PATIENCE`]: it ends by itself and not halfway.
const FLUSHED_WITHIN: Duration = Duration::from_secs(10);

/// What an operator asks of a running relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// How it is.
    Status,
    /// Send every device away for maintenance, and tell those who come what is going on.
    Drain {
        /// For people; at most 1,000 bytes.
        notice: String,
    },
    /// Serve again.
    Resume,
    /// Which enrolments have something left.
    Enrolments,
    /// Take back what is left of one.
    Revoke {
        /// Its name, as it is listed.
        enrolment: String,
    },
    /// Write a backup to this connection, after the answer.
    Backup {
        /// The text of the configuration file, to be put into it.
        configuration: Option<String>,
    },
}

/// What the relay answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// How it is.
    Status(Box<Status>),
    /// The enrolments that have something left.
    Enrolments(Vec<Listed>),
    /// What was taken back.
    Revoked(Revoked),
    /// A backup follows.
    Backup,
    /// It was not done, or not all of it: what is so now, and what to do.
    Refused(String),
}

/// Why a running relay could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No relay runs on this data folder.
    #[error("no relay runs on this data folder; start it, or name the right folder with --data or --config")]
    NotRunning,
    /// The socket exists, and this user may not use it.
    #[error("the relay's data folder belongs to another user; run this as root or as the relay's user")]
    NotYours,
    /// It does not answer as it should.
    #[error("the running relay does not answer as it should ({0}); is it of another version? Restart it")]
    Garbled(io::Error),
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
        match error.kind() {
            NotFound | ConnectionRefused => Self::NotRunning,
            PermissionDenied => Self::NotYours,
            _ => Self::Garbled(error),
        }
    }
}

/// Asks the relay that runs on a data folder. Blocking.
///
/// # Errors
/// [`AskError`], which says what to do.
pub fn ask(data: &Path, what: &Ask) -> Result<Reply, AskError> {
    Ok(asked(data, what)?.0)
}

/// Has the relay that runs on a data folder write a backup, and hands on what it writes. Blocking.
///
/// # Errors
/// [`AskError`]. What was handed on so far is then not a whole backup, and neither may it be without an error:
/// [`backup::check`] tells.
pub fn fetch_backup(data: &Path, configuration: Option<String>, out: &mut impl Write) -> Result<(), AskError> {
    let (reply, mut rest) = asked(data, &Ask::Backup { configuration })?;
    match reply {
        Reply::Backup => io::copy(&mut rest, out).map(drop).map_err(AskError::Garbled),
        _ => Err(AskError::Garbled(io::ErrorKind::InvalidData.into())),
    }
}

fn asked(data: &Path, what: &Ask) -> Result<(Reply, BufReader<BlockingStream>), AskError> {
    let mut stream = BlockingStream::connect(data.join(SOCKET))?;
    let garbled = AskError::Garbled;
    stream.set_read_timeout(Some(PATIENCE)).map_err(garbled)?;
    let mut line = serde_json::to_string(what).map_err(|error| garbled(error.into()))?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(garbled)?;
    let (mut rest, mut answer) = (BufReader::new(stream), String::new());
    rest.read_line(&mut answer).map_err(garbled)?;
    let reply = serde_json::from_str(&answer).map_err(|error| garbled(error.into()))?;
    Ok((reply, rest))
}

/// The relay's end of the socket. Open before the relay says that it is ready, so that whoever heard that is heard.
#[derive(Debug, Default)]
pub(crate) struct ControlSocket(Option<BlockingListener>);

impl ControlSocket {
    /// Opens it in a data folder that this process has locked. A relay works without.
    pub(crate) fn open(data: &Path) -> Self {
        let path = data.join(SOCKET);
        // One that an earlier life left.
        drop(std::fs::remove_file(&path));
        let private = |listener: BlockingListener| {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let opened = BlockingListener::bind(&path).and_then(private);
        let unheard = "there is no control socket: `status`, `drain` and the like cannot reach this relay";
        Self(opened.inspect_err(|error: &io::Error| tracing::warn!(%error, "{unheard}")).ok())
    }
}

/// Answers the operator.
pub(crate) struct Control {
    pub(crate) hub: Arc<Hub>,
    pub(crate) config: Arc<crate::Config>,
    pub(crate) stage: watch::Sender<Stage>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) since: Since,
    pub(crate) backups: Backups,
}

impl Control {
    /// Answers, one after the other. Never returns, unless there is no socket.
    pub(crate) async fn run(self, socket: ControlSocket) {
        let Some(Ok(listener)) = socket.0.map(UnixListener::from_std) else { return };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Whoever hung up does not want the answer.
                    let _ = timeout(PATIENCE, self.serve(stream)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the operator could not be heard");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        let (reader, mut writer) = stream.split();
        let mut line = String::new();
        tokio::io::BufReader::new(reader.take(MAX_LINE)).read_line(&mut line).await?;
        let reply = match serde_json::from_str(&line) {
            Ok(Ask::Backup { configuration }) => {
                writer.write_all(b"\"backup\"\n").await?;
                return self.back_up(stream, configuration);
            }
            Ok(ask) => self.answer(ask).await,
            Err(_) => Reply::Refused("this relay does not know the command; restart it after an upgrade".to_owned()),
        };
        let mut line = serde_json::to_string(&reply)?;
        line.push('\n');
        writer.write_all(line.as_bytes()).await
    }

    async fn answer(&self, ask: Ask) -> Reply {
        match ask {
            Ask::Status => {
                Reply::Status(Box::new(Status::now(&self.hub, &self.config, self.tls.as_deref(), &self.since)))
            }
            Ask::Drain { notice } if notice.len() > MAX_NOTICE => {
                Reply::Refused(format!("a notice has at most {MAX_NOTICE} bytes"))
            }
            Ask::Drain { notice } => self.drain(notice).await,
            Ask::Resume => {
                *lock(&self.hub.maintenance) = None;
                self.stage.send_replace(Stage::Serving);
                tracing::info!("serving again");
                Reply::Done
            }
            Ask::Backup { .. } => Reply::Refused("a backup is not an answer".to_owned()),
            Ask::Enrolments => match self.hub.list_enrolments() {
                Ok(all) => Reply::Enrolments(all),
                Err(error) => Reply::Refused(format!("the enrolments could not be read: {error}")),
            },
            Ask::Revoke { enrolment } => match enrolment.parse() {
                Ok(id) => match self.hub.revoke(id).await {
                    Ok(revoked) => Reply::Revoked(revoked),
                    Err(error) => Reply::Refused(error.to_string()),
                },
                Err(NotAnEnrolmentId) => Reply::Refused(NotAnEnrolmentId.to_string()),
            },
        }
    }

    /// Writes a backup on a thread of its own, which may take a while; others are answered meanwhile.
    fn back_up(&self, stream: UnixStream, configuration: Option<String>) -> io::Result<()> {
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        // Nobody may hold a picture of the spool open for long: the file grows meanwhile.
        stream.set_write_timeout(Some(PATIENCE))?;
        let (backups, data) = (self.backups.clone(), self.config.data.clone());
        tokio::task::spawn_blocking(move || {
            let written = backup::kept_files(&data).and_then(|files| {
                let extras = Extras { configuration: configuration.as_deref(), files: &files };
                backups.write(extras, stream)
            });
            match written {
                Ok(_) => tracing::info!("a backup was written"),
                Err(error) => tracing::warn!(%error, "a backup was not finished"),
            }
        });
        Ok(())
    }

    /// When this returns, nobody is served, and everything accepted is durable.
    async fn drain(&self, notice: String) -> Reply {
        *lock(&self.hub.maintenance) = Some(notice);
        self.stage.send_replace(Stage::Finishing);
        let flushed = timeout(FLUSHED_WITHIN, self.hub.flush()).await;
        self.stage.send_replace(Stage::Ending);
        tracing::info!("drained: devices are sent away until `resume` or a restart");
        match flushed {
            Ok(()) => Reply::Done,
            Err(_) => Reply::Refused(
                "drained, but the disk hangs: what was under way was not accepted, and devices keep it and send it again"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use tacit_proto::ChannelId;

    use super::*;
    use crate::effect::OnFailure;
    use crate::enrolment::Enrolments;
    use crate::reader::LoadQueue;
    use crate::spool::Change;
    use crate::testing::MemorySpool;
    use crate::{Clock, Config};

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_does_not_leave_a_drained_relay_deaf() {
        let data = tempfile::tempdir().unwrap();
        let (config, enrolments) = (Config::new(data.path()), Enrolments::open(data.path()).unwrap());
        let (loads, _) = LoadQueue::new();
        let spool = Arc::new(MemorySpool::default());
        let hub = Arc::new(Hub::new(config.rules(), Clock::default(), spool.recovered(), enrolments.clone(), loads));
        let (stage, heard) = watch::channel(Stage::Serving);
        let (config, since, backups) = (Arc::new(config), Since::now(), Backups::of(spool, enrolments));
        let control = Control { hub, config, stage, tls: None, since, backups };
        let drain = || control.answer(Ask::Drain { notice: String::new() });
        assert_eq!(drain().await, Reply::Done);
        // Without a committer, this stays where it is.
        control.hub.queue.push([(Change::ForgetChannel(ChannelId::from_bytes([1; 16])), OnFailure::Retry)]);
        assert_eq!(control.answer(Ask::Resume).await, Reply::Done);
        let drained = drain().await;
        assert!(matches!(&drained, Reply::Refused(why) if why.contains("the disk hangs")), "{drained:?}");
        assert!(matches!(*heard.borrow(), Stage::Ending), "devices are sent away all the same");
    }
}
