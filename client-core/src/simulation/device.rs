//! A device: the real store and the real engine, in a shell that is as thin as the one around real connections.

use tacit_proto::frame::{Event as RelayEvent, FromRelay, ToRelay};

use super::dice::Dice;
use super::relay::ConnId;
use crate::engine::{Engine, Now, Output, Scope, TurnError};
use crate::error::StoreError;
use crate::pulse::{Backoff, Pulse};
use crate::store::{Holder, RelayId, Store, faults};

/// The wall clock's time when a simulation begins.
const BEGIN: u64 = 1_800_000_000_000;

/// A connection as a process sees it.
pub(super) struct Connection {
    pub(super) id: ConnId,
    pub(super) pulse: Pulse,
    pub(super) engine: Option<Engine>,
    /// The store changed, and it was not looked at since.
    pub(super) poked: bool,
    /// Came, and not taken yet.
    pub(super) frames: Vec<FromRelay>,
}

/// A process that has the device's home open. It loses all of this when it dies.
pub(super) struct Process {
    pub(super) holder: Holder,
    pub(super) connection: Option<Connection>,
    pub(super) backoff: Backoff,
    /// No connection is tried before this time.
    pub(super) connect_at: u64,
    /// It gets no processor until then.
    pub(super) frozen_until: u64,
    /// When it starts, or started.
    pub(super) starts_at: u64,
    pub(super) renew_at: u64,
    pub(super) has_lease: bool,
    pub(super) settled: bool,
    /// When it looks next what there is to do.
    pub(super) next_wake: Option<u64>,
}

/// A device with its store, and one or two processes.
pub(super) struct Device {
    pub(super) store: Store,
    pub(super) processes: Vec<Process>,
    /// What its wall clock is wrong by.
    pub(super) clock_error: i64,
    pub(super) dice: Dice,
    /// Switched off, or without any network.
    pub(super) away_until: u64,
}

/// What a turn came to.
pub(super) enum Turned {
    /// As it should.
    Done(Output),
    /// The process died in the middle of it; nothing of it was kept.
    Died,
    /// The connection is to be dropped.
    Dropped(TurnError),
}

impl Process {
    pub(super) fn new(dice: &mut Dice, starts_at: u64) -> Self {
        let mut holder = [0; 16];
        rand_core::Rng::fill_bytes(dice, &mut holder);
        Self {
            holder: Holder(holder),
            connection: None,
            backoff: Backoff::new(),
            connect_at: starts_at,
            frozen_until: 0,
            starts_at,
            renew_at: 0,
            has_lease: false,
            settled: false,
            next_wake: None,
        }
    }
}

impl Device {
    pub(super) fn new(mut dice: Dice, processes: usize) -> Self {
        let processes = (0..processes).map(|_| Process::new(&mut dice, 0)).collect();
        Self { store: Store::in_memory(), processes, clock_error: 0, dice, away_until: 0 }
    }

    /// What its wall clock shows.
    pub(super) fn wall(&self, now: u64) -> u64 {
        (BEGIN + now).saturating_add_signed(self.clock_error)
    }

    /// The relay at which something is to be done.
    pub(super) fn relay_in_use(&mut self) -> Option<RelayId> {
        self.store.read::<_, StoreError>(|tx| tx.relays_in_use()).unwrap().first().map(|relay| relay.id)
    }

    /// One turn of a process's engine over the frames that came. It may be struck dead at any write.
    pub(super) fn turn(&mut self, process: usize, now: u64, dies_after: Option<u64>) -> Turned {
        let wall = self.wall(now);
        let relay = self.relay_in_use();
        let Process { connection, backoff, holder, .. } = &mut self.processes[process];
        let Connection { engine, frames, .. } = connection.as_mut().unwrap();
        let mut frames = std::mem::take(frames);
        let engine = match (engine, relay) {
            (Some(engine), _) => engine,
            (empty, Some(relay)) => {
                let FromRelay::Event(RelayEvent::Welcome(welcome)) = frames.remove(0) else {
                    return Turned::Dropped(TurnError::Protocol);
                };
                backoff.reset();
                empty.insert(Engine::new(relay, Scope::All, *holder, *welcome))
            }
            (None, None) => return Turned::Dropped(TurnError::NotTheHolder),
        };
        if let Some(writes) = dies_after {
            faults::crash_after(writes);
        }
        let now = Now { wall, steady: now };
        let result = self.store.change(|tx| engine.turn(tx, now, &mut self.dice, frames));
        faults::none();
        match result {
            Ok(output) => Turned::Done(output),
            Err(TurnError::Store(StoreError::Io(why))) if why == faults::CRASH => Turned::Died,
            Err(TurnError::Store(error)) => panic!("the store failed by itself: {error}"),
            Err(error) => Turned::Dropped(error),
        }
    }

    /// Asks the relay for a sign of life.
    pub(super) fn ping(&mut self, process: usize) -> Option<ToRelay> {
        Some(self.processes[process].connection.as_mut()?.engine.as_mut()?.ping())
    }
}
