//! A relay from start to end: opens the data folder, serves connections, and ends without losing what it was given.

use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tacit_proto::link::RelayAddress;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::accept::{Door, Visit};
use crate::backup::Backups;
use crate::committer::Committer;
use crate::config::{Config, ConfigError, Transport};
use crate::connection::{self, Stage};
use crate::control::{Control, ControlSocket};
use crate::counters::Counters;
use crate::enrol::{Listed, RevokeError, Revoked};
use crate::enrolment::{Enrolments, private_file};
use crate::hub::{Hub, Scratch};
use crate::limits::{Guest, Limits};
use crate::metrics::{Metrics, MetricsServer};
use crate::pages::Pages;
use crate::reader::{LoadQueue, Reader};
use crate::spool::{EnrolmentId, Recovered, RedbSpool, Spool, SpoolError};
use crate::status::Since;
use crate::sync::atomic::Ordering;
use crate::sync::lock;
use crate::time::Jumps;
use crate::tls::{Tls, TlsError};
use crate::{grace, pressure};

/// The file in the data folder where a running relay notes its address, for `enrol`.
pub const URL_FILE: &str = "url";

/// The file in the data folder that says when the clock was last believed: see [`Jumps`].
const BELIEVED_FILE: &str = "clock";

/// The second line of that file, if links must pin the relay's own key.
pub const PINNED: &str = "pinned";

/// How long devices may take to hear that the relay ends.
const GOODBYES: Duration = Duration::from_secs(10);

/// Why a relay does not start. Nothing was lost or changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is not accepted.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The spool cannot be opened.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Connections cannot be encrypted.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data folder or a thread cannot be made.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

/// A relay that has its data folder open, and serves when told to.
pub struct Relay {
    door: Door,
    spool: Arc<dyn Spool>,
    control_socket: ControlSocket,
    metrics_server: Option<MetricsServer>,
    // In this order: the reader reports to channels, whose changes the committer then still makes.
    reader: Reader,
    committer: Committer,
}

impl Relay {
    /// Opens the data folder, or makes it.
    ///
    /// # Errors
    /// [`StartError`], which says what to do.
    pub fn open(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let enrolments = Enrolments::open(&config.data).map_err(system("the data folder cannot be made"))?;
        let (spool, recovered) = RedbSpool::open(&config.data)?;
        Self::with_spool(config, enrolments, Arc::new(spool), recovered)
    }

    /// Starts on another spool than the embedded one.
    ///
    /// # Errors
    /// [`StartError`], which says what to do.
    pub fn with_spool(
        config: Config,
        enrolments: Enrolments,
        spool: Arc<dyn Spool>,
        recovered: Recovered,
    ) -> Result<Self, StartError> {
        config.check()?;
        let pages = Pages::new(&config).map_err(io::Error::other).map_err(system("the relay's page cannot be made"))?;
        let metrics_server = config
            .metrics
            .map(MetricsServer::bind)
            .transpose()
            .map_err(system("the metrics' address cannot be listened on"))?;
        let tls = Tls::open(&config)?.map(Arc::new);
        let (load_queue, loads) = LoadQueue::new();
        let stop = load_queue.clone();
        let hub = Arc::new(Hub::new(config.rules(), config.clock.clone(), recovered, enrolments, load_queue));
        let reader = Reader::start(Arc::clone(&hub), Arc::clone(&spool), &stop, loads)
            .map_err(system("the reader's thread cannot be started"))?;
        let committer = Committer::start(Arc::clone(&hub.queue), Arc::clone(&spool), {
            let hub = Arc::clone(&hub);
            let mut scratch = Scratch::default();
            move |change, durable| hub.committed(&mut scratch, change, durable)
        })
        .map_err(system("the committer's thread cannot be started"))?;
        let (stage, _) = watch::channel(Stage::Serving);
        let control_socket = ControlSocket::open(&config.data);
        let limits = Arc::new(Limits::new(config.abuse));
        let door = Door { hub, config: Arc::new(config), pages: Arc::new(pages), limits, tls, stage };
        Ok(Self { door, spool, control_socket, metrics_server, reader, committer })
    }

    /// What is counted.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.door.hub.counters)
    }

    /// Where metrics are served, if they are.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_server.as_ref().and_then(|server| server.local_addr().ok())
    }

    /// Whether nobody was ever enrolled here, nor is about to be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let has_permits = lock(&self.door.hub.permits).has_unspent();
        !has_permits && self.door.hub.tally().channels == 0 && self.door.hub.enrolments.is_empty().unwrap_or(false)
    }

    /// The enrolments that have something left.
    ///
    /// # Errors
    /// What the file system says.
    pub fn enrolments(&self) -> io::Result<Vec<Listed>> {
        self.door.hub.list_enrolments()
    }

    /// Revokes what is left of an enrolment: its unspent permits, or its link if nobody used it yet. Channels that came
    /// of spent permits go on: nothing here ties them to an enrolment.
    ///
    /// # Errors
    /// [`RevokeError`], which says what to do.
    pub async fn revoke(&self, id: EnrolmentId) -> Result<Revoked, RevokeError> {
        self.door.hub.revoke(id).await
    }

    /// Whence backups are written while this relay runs.
    #[must_use]
    pub fn backups(&self) -> Backups {
        Backups::of(Arc::clone(&self.spool), self.door.hub.enrolments.clone())
    }

    /// Serves one device on any stream: TCP, a pipe in memory, a simulated network. Unencrypted, and without the limits
    /// on numbers and addresses of connections: both are the caller's.
    pub fn serve_connection<S>(&self, stream: S) -> impl Future<Output = ()> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let guest = Guest::unlimited(Arc::clone(&self.door.limits));
        let visit = Visit { door: self.door.connection(), guest, opened: Instant::now(), proxy: None };
        connection::serve(stream, visit)
    }

    /// Ends graces, and does at every full hour what the time asks for. [`Relay::serve`] does it by itself; who serves
    /// connections one by one runs it beside them. Never returns.
    pub fn keep_time(&self) -> impl Future<Output = ()> + use<> {
        let (graces, sweeps) = self.timekeepers();
        async move { tokio::join!(graces, sweeps).0 }
    }

    fn timekeepers(&self) -> (impl Future<Output = ()> + use<>, impl Future<Output = ()> + use<>) {
        let hub = Arc::clone(&self.door.hub);
        let sweeps = sweep(Arc::clone(&hub), Arc::clone(&self.spool), Arc::clone(&self.door.config));
        (async move { grace::run(&hub).await }, sweeps)
    }

    /// Serves until `shutdown` is ready. Then it takes no more requests, makes durable what is under way, tells every
    /// device, and returns when all of them were told.
    ///
    /// # Errors
    /// If the listener's own address cannot be read.
    pub async fn serve(mut self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        self.note_url(listener.local_addr()?);
        let mut chores = JoinSet::new();
        // Two tasks: no grace waits for a sweep.
        let (graces, sweeps) = self.timekeepers();
        chores.spawn(graces);
        chores.spawn(sweeps);
        chores.spawn(pressure::watch(Arc::clone(&self.door.hub), Arc::clone(&self.door.config)));
        let control_socket = std::mem::take(&mut self.control_socket);
        let control = Control {
            hub: Arc::clone(&self.door.hub),
            config: Arc::clone(&self.door.config),
            stage: self.door.stage.clone(),
            tls: self.door.tls.clone(),
            since: Since::now(),
            backups: self.backups(),
        };
        let control = chores.spawn(control.run(control_socket));
        if let Some(tls) = &self.door.tls {
            let tls = Arc::clone(tls);
            chores.spawn(async move { tls.keep_current().await });
        }
        if let Some(server) = self.metrics_server.take() {
            let Door { hub, config, stage, tls, .. } = &self.door;
            let metrics = Metrics::new(Arc::clone(hub), Arc::clone(config), stage.subscribe(), tls.clone());
            chores.spawn(server.run(metrics));
        }
        // Every connection holds a sender: when none is left, all have ended.
        let (guard, mut all_ended) = mpsc::channel::<()>(1);
        tokio::select! {
            () = shutdown => {}
            () = self.door.accept(&listener, &guard) => {}
        }
        drop(listener);
        // Nobody may have it serve again from here on.
        control.abort();
        tracing::info!("ending: finishing what is under way");
        self.door.stage.send_replace(Stage::Finishing);
        self.door.hub.flush().await;
        self.door.stage.send_replace(Stage::Ending);
        drop(guard);
        if timeout(GOODBYES, all_ended.recv()).await.is_err() {
            tracing::warn!("some devices did not hear in time that the relay ends; they lose nothing");
        }
        chores.shutdown().await;
        // The threads end when they have done what is queued.
        let Self { reader, committer, .. } = self;
        drop(reader);
        drop(committer);
        Ok(())
    }

    /// How devices on this machine reach the relay.
    #[must_use]
    pub fn listening_url(&self, listens_on: SocketAddr) -> String {
        let scheme = if self.door.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{listens_on}")
    }

    /// A handle by which the relay is told, while it serves, that certificate files changed.
    pub fn reloader(&self) -> impl Fn() + Send + Sync + use<> {
        let tls = self.door.tls.clone();
        move || {
            if let Some(tls) = &tls {
                tls.look_again();
            }
        }
    }

    /// Notes the address that enrolment links are to carry. [`Relay::serve`] does it too; whoever says earlier that the
    /// relay is ready must call it first, or an enrolment made at once would carry another address.
    pub fn note_url(&self, listens_on: SocketAddr) {
        let configured = self.door.config.url.as_ref().map(|url| RelayAddress::as_str(url).to_owned());
        let url = configured.unwrap_or_else(|| self.listening_url(listens_on));
        let pinned = if self.door.config.transport == Transport::Pinned { PINNED } else { "" };
        let path = self.door.config.data.join(URL_FILE);
        let failed = "the relay's address could not be noted; give it to `enrol` with --url";
        note(&path, format_args!("{url}\n{pinned}\n"), failed);
    }
}

/// Writes a small file of the data folder, never half: it may be read at any moment.
fn note(path: &Path, text: std::fmt::Arguments<'_>, failed: &str) {
    let draft = path.with_extension("new");
    let written = private_file(&draft).and_then(|mut file| file.write_fmt(text));
    if let Err(error) = written.and_then(|()| fs::rename(&draft, path)) {
        tracing::warn!(%error, "{failed}");
    }
}

/// Serves on a listener until `shutdown` is ready: [`Relay::open`], then [`Relay::serve`].
///
/// # Errors
/// [`StartError`], which says what to do.
pub async fn run(listener: TcpListener, shutdown: impl Future<Output = ()>, config: Config) -> Result<(), StartError> {
    Relay::open(config)?.serve(listener, shutdown).await.map_err(system("the listener failed"))
}

/// Does at every full hour what the time asks for. Never returns.
async fn sweep(hub: Arc<Hub>, spool: Arc<dyn Spool>, config: Arc<Config>) {
    let mut ticks = interval(config.sweep_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut expired, mut swept, mut turned) = (None, None, None);
    let believed = config.data.join(BELIEVED_FILE);
    let last = fs::read_to_string(&believed).ok().and_then(|seconds| seconds.trim().parse().ok());
    let mut jumps = Jumps::after(config.clock.patience(), last);
    loop {
        ticks.tick().await;
        let now = hub.now();
        let (hour, may_delete) = (now.hour(), jumps.may_delete(now.unix, config.clock.machine()));
        hub.doubts_clock.store(!may_delete, Ordering::Relaxed);
        // Before the epoch turns: what expires now is unreadable an hour earlier.
        if may_delete && expired != Some(hour) {
            match hub.expire(&spool).await {
                Ok(()) => expired = Some(hour),
                Err(error) => tracing::warn!(%error, "what expires could not be looked up; trying again"),
            }
        }
        if may_delete && swept != Some(hour) {
            swept = Some(hour);
            hub.sweep().await;
            note(&believed, format_args!("{}\n", now.unix), "the time could not be noted");
        }
        // Whatever the clock says: what was deleted is to be unreadable.
        if turned != Some(hour) {
            turned = Some(hour);
            hub.queue.turn_epoch();
        }
    }
}
