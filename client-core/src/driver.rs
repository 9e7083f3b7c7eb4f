//! The thread that keeps a device connected: it holds the lease, runs one connection per relay, and tells the app.
//!
//! Everything here runs on one thread, and shares one store connection: turns are short and never wait inside.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use getrandom::SysRng;
use rand_core::UnwrapErr;
use tacit_proto::frame::{Event as RelayEvent, FromRelay};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::engine::{Engine, Now, Scope, TurnError};
use crate::error::StoreError;
use crate::net::{Authority, NetError, Wire};
use crate::network::{self, NetworkSettings, Proxy};
use crate::notifications;
use crate::pulse::{BACKOFF_MAX, BACKOFF_MIN, Backoff, PONG_MS, Pulse, Quiet, jittered};
use crate::store::{Holder, RENEW_MS, RelayId, RelayRow, Store};
use crate::types::{Connection, Event, Listener, Timestamp};

/// How often other processes' changes are looked for. `PRAGMA data_version` reads one word of shared memory.
const POLL: Duration = Duration::from_millis(250);

/// How often what is kept too long, and what will not be delivered any more, is looked for.
const HOURLY: Duration = Duration::from_secs(3_600);

/// From when on the store may be written anew, which takes memory. What a system starts to fetch a notification has little, and
/// does not live as long.
const PURGE_AFTER: Duration = Duration::from_secs(60);

pub(crate) const LEASE_FILE: &str = "lease";

/// Milliseconds since the Unix epoch, by this device's clock.
pub(crate) fn wall_clock() -> Timestamp {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Timestamp)
}

/// What the app's threads and the driver's thread share. The mutex guards plain values, is held for a few instructions,
/// and never while the store or the network is used.
pub(crate) struct Shared {
    home: PathBuf,
    holder: Holder,
    authority: Mutex<Option<Authority>>,
    status: Mutex<Status>,
    status_changed: Condvar,
    /// Counts changes that the driver should look at.
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) stop: watch::Sender<bool>,
}

/// One connection: to which relay, and what it carries.
type LineId = (RelayId, Scope);

/// How things stand, for whoever asks.
#[derive(Default)]
struct Status {
    running: bool,
    has_lease: bool,
    lines: HashMap<LineId, LineStatus>,
}

#[derive(Default)]
struct LineStatus {
    online: bool,
    problem: String,
    /// The count of changes up to which everything was exchanged.
    settled: Option<u64>,
}

impl Shared {
    pub(crate) fn new(home: PathBuf, holder: Holder) -> Self {
        let (changes, _) = watch::channel(0);
        let (stop, _) = watch::channel(false);
        Self {
            home,
            holder,
            authority: Mutex::default(),
            status: Mutex::default(),
            status_changed: Condvar::new(),
            changes,
            stop,
        }
    }

    /// Connections that begin after this accept its certificates.
    pub(crate) fn trust(&self, authority: Authority) {
        *self.authority.lock().unwrap_or_else(PoisonError::into_inner) = Some(authority);
    }

    fn authority(&self) -> Option<Authority> {
        self.authority.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        // Nothing in there can be left half changed.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the driver that the store changed.
    pub(crate) fn note_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// How the relays are reached.
    pub(crate) fn connection(&self) -> Connection {
        let status = self.status();
        if !status.running {
            return Connection::Stopped;
        }
        if !status.has_lease {
            return Connection::InOtherProcess;
        }
        match status.lines.values().find(|line| !line.online) {
            Some(line) => Connection::Offline { problem: line.problem.clone() },
            None if status.lines.is_empty() => Connection::Offline { problem: String::new() },
            None => Connection::Online,
        }
    }

    /// Whether this process is connected and exchanged everything, on all of these connections, since its last change.
    /// None if another process is the connected one.
    pub(crate) fn is_settled(&self, planned: &[(RelayRow, Scope)]) -> Option<bool> {
        let now = *self.changes.borrow();
        let status = self.status();
        if status.running && !status.has_lease {
            return None;
        }
        let settled = |(relay, scope): &(RelayRow, Scope)| {
            status.lines.get(&(relay.id, *scope)).is_some_and(|line| line.settled == Some(now))
        };
        Some(status.running && planned.iter().all(settled))
    }

    /// Waits for a change of anything here, or a while.
    pub(crate) fn wait(&self, a_while: Duration) {
        let status = self.status();
        drop(self.status_changed.wait_timeout(status, a_while));
    }

    fn update(&self, change: impl FnOnce(&mut Status)) -> bool {
        let before = self.connection();
        change(&mut self.status());
        self.status_changed.notify_all();
        self.connection() != before
    }
}

/// Runs until told to stop. On a thread of its own.
pub(crate) fn run(shared: &Arc<Shared>, store: Store, listener: Option<Box<dyn Listener>>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(tokio::task::LocalSet::new().run_until(drive(shared, store, listener)));
}

/// The same, on the caller's runtime and local set.
pub(crate) async fn drive(shared: &Arc<Shared>, store: Store, listener: Option<Box<dyn Listener>>) {
    let driver = Rc::new(Driver {
        shared: Arc::clone(shared),
        store: RefCell::new(store),
        listener,
        started: Instant::now(),
        has_news: Cell::new(true),
    });
    driver.update(|status| status.running = true);
    Rc::clone(&driver).run().await;
    driver.update(|status| *status = Status::default());
}

struct Driver {
    shared: Arc<Shared>,
    store: RefCell<Store>,
    listener: Option<Box<dyn Listener>>,
    started: Instant,
    /// A message came, so that there may be something to notify of.
    has_news: Cell<bool>,
}

/// A connection that is to be kept up.
struct Line {
    relay: RelayRow,
    scope: Scope,
    proxy: Option<Proxy>,
}

impl Line {
    const fn id(&self) -> LineId {
        (self.relay.id, self.scope)
    }
}

/// Why a connection ended without a fault.
enum Finished {
    Stopped,
    /// The relay said so, and when to come back.
    Restarting(Duration),
}

#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    Turn(#[from] TurnError),
}

impl SessionError {
    const fn is_violation(&self) -> bool {
        matches!(self, Self::Net(NetError::Protocol) | Self::Turn(TurnError::Protocol))
    }
}

impl Driver {
    fn tell(&self, event: Event) {
        if let Some(listener) = &self.listener {
            listener.on_event(event);
        }
    }

    fn update(&self, change: impl FnOnce(&mut Status)) {
        if self.shared.update(change) {
            self.tell(Event::ConnectionChanged { connection: self.shared.connection() });
        }
    }

    fn now(&self) -> Now {
        Now { wall: wall_clock(), steady: self.started.elapsed().as_millis() as u64 }
    }

    async fn run(self: Rc<Self>) {
        let mut stop = self.shared.stop.subscribe();
        // Held for as long as this client runs; the operating system lets go of it when the process dies.
        let lock = File::create(self.shared.home.join(LEASE_FILE)).ok();
        let mut locked = false;
        let mut lines: HashMap<LineId, AbortHandle> = HashMap::new();
        let mut tasks = JoinSet::new();
        let mut network = NetworkSettings::default();
        let mut renewed: Option<(Instant, bool)> = None;
        let mut hourly: Option<Instant> = None;
        let mut purged: Option<Instant> = None;
        let mut version = self.store.borrow().data_version().unwrap_or_default();
        // When held notifications are due.
        let mut notify_at = None;
        while !*stop.borrow() {
            if matches!(self.store.borrow().check_not_erased(), Err(StoreError::Erased)) {
                break;
            }
            locked = locked || lock.as_ref().is_some_and(|lock| lock.try_lock().is_ok());
            let settled = self.everything_is_settled();
            let due =
                renewed.is_none_or(|(at, told)| at.elapsed() >= Duration::from_millis(RENEW_MS) || told != settled);
            if due {
                match self.take_lease(settled, locked) {
                    Ok(true) => {
                        renewed = Some((Instant::now(), settled));
                        self.update(|status| status.has_lease = true);
                    }
                    // Cannot be told just now, for instance on a full disk: what we had, we keep until it expires.
                    Err(_) if renewed.is_some() => {}
                    Ok(false) | Err(_) => {
                        renewed = None;
                        tasks.abort_all();
                        lines.clear();
                        self.update(|status| *status = Status { running: true, ..Status::default() });
                    }
                }
            }
            if renewed.is_some() {
                if hourly.is_none_or(|at| at.elapsed() >= HOURLY) {
                    hourly = Some(Instant::now());
                    self.tidy();
                }
                if self.started.elapsed() >= PURGE_AFTER && purged.is_none_or(|at| at.elapsed() >= HOURLY) {
                    purged = Some(Instant::now());
                    // What another process is in the way of is as good an hour later.
                    let _ = self.store.borrow_mut().purge_if_due();
                }
                self.start_lines(&mut network, &mut lines, &mut tasks);
            }
            tokio::select! {
                _ = stop.changed() => break,
                () = sleep(POLL) => {}
                Some(ended) = tasks.join_next() => {
                    // The lease tells who may connect; look before connecting again.
                    if let Ok(line) = ended {
                        lines.remove(&line);
                        renewed = None;
                    }
                }
            }
            let now = self.store.borrow().data_version().unwrap_or(version);
            if now != version {
                version = now;
                self.has_news.set(true);
                self.shared.note_change();
                self.tell(Event::StoreChanged);
            }
            if self.has_news.take() || notify_at.is_some_and(|at| at <= wall_clock()) {
                notify_at = self.notify();
            }
        }
        // Connections see the same stop, and say good-bye.
        while timeout(Duration::from_secs(2), tasks.join_next()).await.is_ok_and(|ended| ended.is_some()) {}
        let holder = self.shared.holder;
        // If it cannot be given back it expires by itself.
        let _ = self.store.borrow_mut().change::<_, StoreError>(|tx| tx.leave_lease(holder));
    }

    /// Tells that something is to be notified of, if so, and when to look again.
    fn notify(&self) -> Option<Timestamp> {
        let planned = self.store.borrow_mut().read(|tx| notifications::look(tx, wall_clock()));
        let planned = planned.unwrap_or_default();
        if !planned.due.is_empty() {
            self.tell(Event::NotificationsDue);
        }
        planned.again_at
    }

    /// Deletes what is to be kept no longer. What cannot be done now is done the next time.
    /// What cannot be done now is as good a little later.
    fn tidy(&self) {
        let mut store = self.store.borrow_mut();
        let _ = store.change::<_, StoreError>(|tx| tx.expire_ended(wall_clock()));
        for contact in store.tidy_rows(wall_clock()).unwrap_or_default() {
            self.tell(Event::ContactChanged { contact: hex::encode(contact) });
        }
    }

    fn everything_is_settled(&self) -> bool {
        let planned = self.store.borrow_mut().read::<_, StoreError>(|tx| network::plan(tx, &tx.network()?));
        planned.is_ok_and(|planned| self.shared.is_settled(&planned) == Some(true))
    }

    fn take_lease(&self, settled: bool, others_are_dead: bool) -> Result<bool, StoreError> {
        let holder = self.shared.holder;
        self.store.borrow_mut().change(|tx| tx.take_lease(holder, wall_clock(), settled, others_are_dead))
    }

    fn start_lines(
        self: &Rc<Self>,
        network: &mut NetworkSettings,
        running: &mut HashMap<LineId, AbortHandle>,
        tasks: &mut JoinSet<LineId>,
    ) {
        let planned = self.store.borrow_mut().read::<_, StoreError>(|tx| {
            let network = tx.network()?;
            Ok((network::plan(tx, &network)?, network))
        });
        let Ok((planned, wanted)) = planned else { return };
        let is_wanted =
            |id: &LineId| *network == wanted && planned.iter().any(|(relay, scope)| (relay.id, *scope) == *id);
        let gone: Vec<_> = running.keys().filter(|id| !is_wanted(id)).copied().collect();
        for id in gone {
            if let Some(task) = running.remove(&id) {
                task.abort();
            }
            self.update(|status| drop(status.lines.remove(&id)));
        }
        let proxy = wanted.proxy.as_deref().map(Proxy::parse).transpose();
        *network = wanted;
        // What was written by a newer version, perhaps. Nothing goes past a proxy.
        let Ok(proxy) = proxy else { return };
        for (relay, scope) in planned {
            let line = Line { relay, scope, proxy: proxy.clone() };
            running.entry(line.id()).or_insert_with(|| tasks.spawn_local(Rc::clone(self).keep_connected(line)));
        }
    }

    /// Connects to one relay, again and again, until told to stop or superseded.
    async fn keep_connected(self: Rc<Self>, line: Line) -> LineId {
        let mut stop = self.shared.stop.subscribe();
        let mut backoff = Backoff::new();
        loop {
            let mut greeted = false;
            let result = self.session(&line, &mut greeted).await;
            // A relay that breaks the protocol right after its greeting is not asked once a second for ever.
            if greeted && !result.as_ref().is_err_and(SessionError::is_violation) {
                backoff.reset();
            }
            let mut rng = UnwrapErr(SysRng);
            let (problem, pause) = match result {
                Ok(Finished::Stopped) | Err(SessionError::Turn(TurnError::NotTheHolder)) => {
                    self.offline(&line, String::new());
                    return line.id();
                }
                Ok(Finished::Restarting(pause)) => ("the relay is restarting".to_owned(), jittered(pause, &mut rng)),
                Err(error) => (error.to_string(), backoff.next(&mut rng)),
            };
            self.offline(&line, problem);
            tokio::select! {
                _ = stop.changed() => return line.id(),
                () = sleep(pause) => {}
            }
        }
    }

    fn offline(&self, line: &Line, problem: String) {
        self.update(|status| {
            status.lines.insert(line.id(), LineStatus { online: false, problem, settled: None });
        });
    }

    async fn session(&self, line: &Line, greeted: &mut bool) -> Result<Finished, SessionError> {
        let mut stop = self.shared.stop.subscribe();
        let mut changes = self.shared.changes.subscribe();
        let authority = self.shared.authority();
        let mut wire = tokio::select! {
            _ = stop.changed() => return Ok(Finished::Stopped),
            wire = Wire::connect(&line.relay.place, authority.as_ref(), line.proxy.as_ref()) => wire?,
        };
        let first = timeout(Duration::from_millis(PONG_MS), wire.receive()).await.map_err(|_| NetError::TimedOut)??;
        let mut first = first.into_iter();
        let Some(FromRelay::Event(RelayEvent::Welcome(welcome))) = first.next() else {
            return Err(NetError::NotARelay.into());
        };
        *greeted = true;
        let mut engine = Engine::new(line.relay.id, line.scope, self.shared.holder, *welcome);
        let mut frames: Vec<_> = first.collect();
        let mut pulse = Pulse::new(self.now().steady);
        // Connections that carry one channel each do not see what another one was told for all.
        let mut concerns_all = line.scope != Scope::All;
        loop {
            let count = *changes.borrow_and_update();
            concerns_all |= line.scope == Scope::Enrolments && !frames.is_empty();
            let now = self.now();
            let output = self
                .store
                .borrow_mut()
                .change(|tx| engine.turn(tx, now, &mut UnwrapErr(SysRng), std::mem::take(&mut frames)))?;
            if std::mem::take(&mut concerns_all) {
                self.shared.note_change();
            }
            wire.send(output.frames).await?;
            for event in output.events {
                if matches!(event, Event::MessageReceived { .. }) {
                    self.has_news.set(true);
                }
                self.tell(event);
            }
            let settled = output.settled.then_some(count);
            self.update(|status| {
                status.lines.insert(line.id(), LineStatus { online: true, problem: String::new(), settled });
            });
            if let Some(seconds) = output.restarting {
                wire.close().await;
                let pause = Duration::from_secs(seconds.into());
                return Ok(Finished::Restarting(pause.clamp(BACKOFF_MIN, BACKOFF_MAX)));
            }
            let steady = self.now().steady;
            let quiet_until = match pulse.check(steady) {
                Quiet::Until(at) => at,
                Quiet::Ping => {
                    wire.send(vec![engine.ping()]).await?;
                    continue;
                }
                Quiet::Dead => return Err(NetError::TimedOut.into()),
            };
            let wake = engine.wake_at().map_or(quiet_until, |at| at.min(quiet_until));
            tokio::select! {
                _ = stop.changed() => {
                    wire.close().await;
                    return Ok(Finished::Stopped);
                }
                received = wire.receive() => {
                    frames = received?;
                    pulse.heard(self.now().steady);
                }
                _ = changes.changed() => {}
                () = sleep(Duration::from_millis(wake.saturating_sub(steady))) => {}
            }
        }
    }
}
