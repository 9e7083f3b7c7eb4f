//! Devices, a relay, a network between them, and a virtual time in which it all happens, one thing after the other.

use std::collections::BTreeMap;

use bytes::Bytes;
use tacit_proto::frame::{FromRelay, ToRelay};

use super::device::{Connection, Device, Process, Turned};
use super::dice::Dice;
use super::meddler::Meddler;
use super::relay::{ConnId, Manners, Relay};
use crate::engine::TurnError;
use crate::error::StoreError;
use crate::pulse::{Pulse, Quiet, jittered};
use crate::store::{RENEW_MS, faults};
use crate::types::Event;

/// How long a device looks away before it asks an app's questions again.
const APP_MS: u64 = 500;

/// What can happen, at its time.
pub(super) enum Happening {
    ToRelay(ConnId, Bytes),
    ToDevice(ConnId, Bytes),
    /// The relay notices that a connection ended.
    RelaySeesEnd(ConnId),
    /// The device does.
    DeviceSeesEnd(ConnId),
    /// A process looks what there is to do.
    Wake(usize, usize),
    RelayWake,
    /// Whatever the scenario planned under this number.
    Planned(usize),
}

/// How the network is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    /// A frame takes so long, more or less.
    pub(super) delay_ms: u64,
}

/// A connection as the network sees it.
struct Link {
    device: usize,
    process: usize,
    /// When the last frame that is under way arrives.
    up: u64,
    down: u64,
    /// Frames get through, now or after a stall.
    flows: bool,
    /// The device has not heard of its end.
    open: bool,
}

/// What an app was told, on which device.
pub(super) struct Note(pub(super) usize, pub(super) Event);

/// See the module.
pub(super) struct World {
    pub(super) now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    scheduled: u64,
    pub(super) relay: Relay,
    relay_wake: Option<u64>,
    pub(super) relay_down_until: u64,
    pub(super) devices: Vec<Device>,
    links: BTreeMap<ConnId, Link>,
    pub(super) network: Network,
    pub(super) dice: Dice,
    /// Once in so many turns a process dies, at any write or just after the last; 0 is never.
    pub(super) dies_once_in: u64,
    /// The write, counted over all turns, at which a process dies.
    pub(super) dies_at_write: Option<u64>,
    /// What a hostile relay does to the honest one's frames.
    pub(super) meddler: Option<Box<dyn Meddler>>,
    pub(super) notes: Vec<Note>,
    pub(super) deaths: u64,
    pub(super) violations: u64,
    /// A fingerprint of everything that happened.
    pub(super) trace: u64,
}

impl World {
    pub(super) fn new(mut dice: Dice, manners: Manners, network: Network, processes: &[usize]) -> Self {
        let relay = Relay::new(manners, dice.split());
        let devices: Vec<_> = processes.iter().map(|count| Device::new(dice.split(), *count)).collect();
        let mut world = Self {
            now: 0,
            queue: BTreeMap::new(),
            scheduled: 0,
            relay,
            relay_wake: None,
            relay_down_until: 0,
            devices,
            links: BTreeMap::new(),
            network,
            dice,
            dies_once_in: 0,
            dies_at_write: None,
            meddler: None,
            notes: Vec::new(),
            deaths: 0,
            violations: 0,
            trace: 0xcbf2_9ce4_8422_2325,
        };
        for (device, count) in processes.iter().enumerate() {
            (0..*count).for_each(|process| world.wake_at(0, device, process));
        }
        world
    }

    pub(super) fn schedule(&mut self, at: u64, happening: Happening) {
        self.scheduled += 1;
        self.queue.insert((at.max(self.now), self.scheduled), happening);
    }

    fn note_trace(&mut self, parts: [u64; 3]) {
        for part in std::iter::once(self.now).chain(parts) {
            self.trace = (self.trace ^ part).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Lets the next thing happen. The number of a planned one is given to the scenario.
    pub(super) fn step(&mut self) -> Option<usize> {
        let ((at, _), happening) = self.queue.pop_first().expect("devices always have a next wake");
        self.now = at;
        match happening {
            Happening::Planned(number) => return Some(number),
            Happening::ToRelay(conn, bytes) => self.arrive_at_relay(conn, bytes),
            Happening::ToDevice(conn, bytes) => self.arrive_at_device(conn, bytes),
            Happening::RelaySeesEnd(conn) => {
                self.relay.disconnect(conn);
                self.links.remove(&conn);
            }
            Happening::DeviceSeesEnd(conn) => self.device_sees_end(conn),
            Happening::Wake(device, process) => {
                let next_wake = &mut self.devices[device].processes[process].next_wake;
                if *next_wake == Some(at) {
                    *next_wake = None;
                    self.wake(device, process);
                }
            }
            Happening::RelayWake if self.relay_wake == Some(at) => {
                self.relay_wake = None;
                self.relay.tick(self.now);
                self.flush_relay();
            }
            Happening::RelayWake => {}
        }
        None
    }

    /// Until the given time, for scenarios that plan nothing.
    pub(super) fn run_until(&mut self, end: u64) {
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            let planned = self.step();
            assert!(planned.is_none(), "nothing was planned");
        }
        self.now = end;
    }

    // The network.

    fn delay(&mut self) -> u64 {
        1 + self.dice.around(self.network.delay_ms)
    }

    fn send_up(&mut self, conn: ConnId, frames: Vec<ToRelay>) {
        for frame in frames {
            let delay = self.delay();
            let Some(link) = self.links.get_mut(&conn) else { return };
            link.up = link.up.max(self.now + delay);
            let at = link.up;
            self.schedule(at, Happening::ToRelay(conn, frame.encode()));
        }
    }

    fn arrive_at_relay(&mut self, conn: ConnId, bytes: Bytes) {
        if !self.links.get(&conn).is_some_and(|link| link.flows) {
            return;
        }
        self.note_trace([1, conn, bytes.len() as u64]);
        let frame = ToRelay::decode(bytes).expect("a device sends frames");
        let frames = match &mut self.meddler {
            Some(meddler) => meddler.up(self.now, conn, frame),
            None => vec![frame],
        };
        for frame in frames {
            self.relay.receive(self.now, conn, frame);
        }
        self.flush_relay();
    }

    fn flush_relay(&mut self) {
        let mut out = self.relay.take_out();
        if let Some(meddler) = &mut self.meddler {
            out = out.into_iter().flat_map(|(conn, frame)| meddler.down(self.now, conn, frame)).collect();
        }
        out.into_iter().for_each(|(conn, frame)| self.send_down(conn, frame));
        if let Some(at) = self.relay.wake_at().map(|at| at.max(self.now))
            && self.relay_wake.is_none_or(|next| at < next)
        {
            self.relay_wake = Some(at);
            self.schedule(at, Happening::RelayWake);
        }
    }

    pub(super) fn send_down(&mut self, conn: ConnId, frame: FromRelay) {
        let delay = self.delay();
        let Some(link) = self.links.get_mut(&conn) else { return };
        link.down = link.down.max(self.now + delay);
        let at = link.down;
        self.schedule(at, Happening::ToDevice(conn, frame.encode()));
    }

    fn arrive_at_device(&mut self, conn: ConnId, bytes: Bytes) {
        let Some(link) = self.links.get(&conn) else { return };
        let (device, process) = (link.device, link.process);
        if !link.flows {
            return;
        }
        self.note_trace([2, conn, bytes.len() as u64]);
        let frame = FromRelay::decode(bytes).expect("the relay sends frames");
        let now = self.now;
        if let Some(connection) = self.connection(device, process).filter(|connection| connection.id == conn) {
            connection.frames.push(frame);
            connection.pulse.heard(now);
            // What comes at the same time is taken together.
            self.wake_at(now, device, process);
        }
    }

    fn connection(&mut self, device: usize, process: usize) -> Option<&mut Connection> {
        self.devices[device].processes[process].connection.as_mut()
    }

    fn device_sees_end(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        link.open = false;
        let (device, process) = (link.device, link.process);
        if self.connection(device, process).is_some_and(|connection| connection.id == conn) {
            self.drop_connection(device, process, true);
        }
    }

    /// The device ends a connection. The relay notices soon, if it is told, or much later.
    fn drop_connection(&mut self, device: usize, process: usize, told: bool) {
        let shell = &mut self.devices[device].processes[process];
        let Some(connection) = shell.connection.take() else { return };
        shell.connect_at = self.now + shell.backoff.next(&mut self.dice).as_millis() as u64;
        shell.settled = false;
        let wake = shell.connect_at;
        let Some(link) = self.links.get_mut(&connection.id) else { return };
        link.open = false;
        let noticed = if told { link.up.max(self.now + 1) } else { self.now + 1 + self.dice.around(60_000) };
        self.schedule(noticed, Happening::RelaySeesEnd(connection.id));
        self.wake_at(wake, device, process);
    }

    /// The network cuts a connection: what is under way is lost, and both sides notice at their own time.
    pub(super) fn cut(&mut self, conn: ConnId) {
        let (relay_sees, device_sees) = (self.dice.around(5_000), self.dice.around(5_000));
        let Some(link) = self.links.get_mut(&conn) else { return };
        link.flows = false;
        self.schedule(self.now + device_sees, Happening::DeviceSeesEnd(conn));
        // Not before the device does: it is the world that forgets the link then.
        self.schedule(self.now + device_sees + relay_sees + 1, Happening::RelaySeesEnd(conn));
    }

    /// Nothing gets through on a connection until then; what was sent arrives afterwards.
    pub(super) fn stall(&mut self, conn: ConnId, until: u64) {
        if let Some(link) = self.links.get_mut(&conn) {
            link.up = link.up.max(until);
            link.down = link.down.max(until);
        }
    }

    pub(super) fn open_links(&self) -> Vec<ConnId> {
        self.links.iter().filter(|(_, link)| link.open).map(|(conn, _)| *conn).collect()
    }

    // Faults.

    /// A process is killed, and starts again.
    pub(super) fn kill(&mut self, device: usize, process: usize, starts_at: u64) {
        self.deaths += 1;
        self.drop_connection(device, process, false);
        let fresh = Process::new(&mut self.dice, starts_at);
        let old = std::mem::replace(&mut self.devices[device].processes[process], fresh);
        // Its lock on the lease's file went with it.
        let holder = old.holder;
        if old.has_lease {
            self.devices[device].store.change::<_, StoreError>(|tx| tx.leave_lease(holder)).unwrap();
        }
        self.wake_at(starts_at, device, process);
    }

    pub(super) fn crash_relay(&mut self, back_at: u64, loses_backlog: bool) {
        for conn in self.relay.connections() {
            self.cut(conn);
        }
        self.relay.crash(self.now);
        if loses_backlog {
            self.relay.lose_backlog();
        }
        self.relay_down_until = self.relay_down_until.max(back_at);
    }

    /// The relay says good-bye, and is back soon.
    pub(super) fn restart_relay(&mut self) {
        let seconds = self.dice.below(4) as u32;
        for conn in self.relay.connections() {
            let event = tacit_proto::frame::Event::Restarting { reconnect_in: seconds };
            self.send_down(conn, FromRelay::Event(event));
            let Some(link) = self.links.get(&conn) else { continue };
            let at = link.down + 1;
            self.schedule(at, Happening::DeviceSeesEnd(conn));
        }
        self.relay.crash(self.now);
        self.relay_down_until = self.relay_down_until.max(self.now + self.dice.around(3_000));
    }

    /// Another device with everything that this one has now: it was copied, or is about to be lost.
    pub(super) fn twin(&mut self, device: usize) -> usize {
        let store = self.devices[device].store.copy();
        let mut twin = Device::new(self.dice.split(), 1);
        twin.store = store;
        twin.clock_error = self.devices[device].clock_error;
        self.devices.push(twin);
        let twin = self.devices.len() - 1;
        self.wake_at(self.now, twin, 0);
        twin
    }

    /// Something changed in a device's store: its processes look at it.
    pub(super) fn poke(&mut self, device: usize) {
        for process in 0..self.devices[device].processes.len() {
            self.devices[device].processes[process].settled = false;
            if let Some(connection) = self.connection(device, process) {
                connection.poked = true;
            }
            self.wake_at(self.now, device, process);
        }
    }

    /// Whether every device that is there says that everything was exchanged.
    pub(super) fn is_settled(&self) -> bool {
        let mut there = self.devices.iter().filter(|device| device.away_until <= self.now);
        there.all(|device| device.processes.iter().any(|process| process.settled))
    }

    // Processes.

    fn wake_at(&mut self, at: u64, device: usize, process: usize) {
        let at = at.max(self.now);
        let next_wake = &mut self.devices[device].processes[process].next_wake;
        if next_wake.is_none_or(|next| at < next) {
            *next_wake = Some(at);
            self.schedule(at, Happening::Wake(device, process));
        }
    }

    fn wake(&mut self, device: usize, process: usize) {
        let now = self.now;
        let away_until = self.devices[device].away_until;
        let shell = &mut self.devices[device].processes[process];
        let waits_until = shell.starts_at.max(shell.frozen_until);
        if waits_until > now {
            self.wake_at(waits_until, device, process);
            return;
        }
        if !self.has_lease(device, process) {
            self.drop_connection(device, process, true);
            self.wake_at(now + 1_000, device, process);
            return;
        }
        if away_until > now {
            self.drop_connection(device, process, true);
            self.wake_at(away_until, device, process);
            return;
        }
        if self.connection(device, process).is_some() {
            self.serve(device, process);
        } else {
            self.connect(device, process);
        }
        let Device { processes, .. } = &self.devices[device];
        if processes.len() > 1 && processes[process].has_lease {
            self.wake_at(processes[process].renew_at, device, process);
        }
    }

    fn has_lease(&mut self, device: usize, process: usize) -> bool {
        let now = self.now;
        let wall = self.devices[device].wall(now);
        let alone = self.devices[device].processes.len() == 1;
        let Device { store, processes, .. } = &mut self.devices[device];
        let shell = &mut processes[process];
        if shell.has_lease && (alone || now < shell.renew_at) {
            return true;
        }
        let (holder, settled) = (shell.holder, shell.settled);
        if let Some(writes) = self.dies_at_write.and_then(|at| at.checked_sub(faults::writes())) {
            faults::crash_after(writes);
        }
        let taken = store.change::<_, StoreError>(|tx| tx.take_lease(holder, wall, settled, alone));
        faults::none();
        shell.has_lease = taken.as_ref().is_ok_and(|taken| *taken);
        shell.renew_at = now + RENEW_MS;
        if taken.is_err() {
            self.die(device, process);
            return false;
        }
        self.devices[device].processes[process].has_lease
    }

    fn connect(&mut self, device: usize, process: usize) {
        let now = self.now;
        if self.devices[device].relay_in_use().is_none() {
            self.wake_at(now + APP_MS, device, process);
            return;
        }
        let shell = &mut self.devices[device].processes[process];
        if shell.connect_at > now {
            let at = shell.connect_at;
            self.wake_at(at, device, process);
            return;
        }
        if self.relay_down_until > now {
            let pause = shell.backoff.next(&mut self.dice).as_millis() as u64;
            shell.connect_at = now + pause;
            self.wake_at(now + pause, device, process);
            return;
        }
        let (conn, welcome) = self.relay.connect();
        self.links.insert(conn, Link { device, process, up: now, down: now, flows: true, open: true });
        let shell = &mut self.devices[device].processes[process];
        shell.connection =
            Some(Connection { id: conn, pulse: Pulse::new(now), engine: None, frames: Vec::new(), poked: false });
        let first = match &mut self.meddler {
            Some(meddler) => meddler.down(now, conn, welcome),
            None => vec![(conn, welcome)],
        };
        first.into_iter().for_each(|(conn, frame)| self.send_down(conn, frame));
        self.wake_at(now + 1_000, device, process);
    }

    fn serve(&mut self, device: usize, process: usize) {
        let now = self.now;
        let Some(connection) = self.connection(device, process) else { return };
        let due = connection.engine.as_ref().is_some_and(|engine| {
            std::mem::take(&mut connection.poked) || engine.wake_at().is_some_and(|at| at <= now)
        });
        if (due || !connection.frames.is_empty()) && !self.turn(device, process) {
            return;
        }
        let Some(connection) = self.connection(device, process) else { return };
        let conn = connection.id;
        let wake = connection.engine.as_ref().and_then(crate::engine::Engine::wake_at);
        match connection.pulse.check(now) {
            Quiet::Until(at) => {
                let at = wake.map_or(at, |wake| wake.min(at));
                self.wake_at(at, device, process);
            }
            Quiet::Ping => {
                if let Some(ping) = self.devices[device].ping(process) {
                    self.send_up(conn, vec![ping]);
                }
                self.wake_at(now, device, process);
            }
            Quiet::Dead => self.drop_connection(device, process, false),
        }
    }

    /// False if the connection is gone.
    fn turn(&mut self, device: usize, process: usize) -> bool {
        let dies = self.dies_once_in > 0 && self.dice.below(self.dies_once_in) == 0;
        let mut dies_after = dies.then(|| self.dice.around(10));
        let before = faults::writes();
        if let Some(at) = self.dies_at_write {
            dies_after = at.checked_sub(before);
        }
        let conn = self.connection(device, process).map_or(0, |connection| connection.id);
        match self.devices[device].turn(process, self.now, dies_after) {
            Turned::Done(mut output) => {
                let dies = dies || self.dies_at_write == Some(faults::writes());
                if dies {
                    // It died after all was durable, and before all was said.
                    let said = self.dice.below(output.frames.len() as u64 + 1) as usize;
                    output.frames.truncate(said);
                    output.events.clear();
                }
                let engine = self.connection(device, process).and_then(|connection| connection.engine.as_ref());
                let wake = engine.and_then(crate::engine::Engine::wake_at);
                assert!(wake.is_none_or(|at| at > self.now), "a machine that is never done would burn a battery");
                self.send_up(conn, output.frames);
                let events = output.events.into_iter().map(|event| Note(device, event));
                self.notes.extend(events);
                self.devices[device].processes[process].settled = output.settled;
                if dies {
                    self.die(device, process);
                    return false;
                }
                if let Some(seconds) = output.restarting {
                    self.drop_connection(device, process, true);
                    let pause = std::time::Duration::from_secs(seconds.into());
                    let shell = &mut self.devices[device].processes[process];
                    shell.connect_at = self.now + jittered(pause, &mut self.dice).as_millis() as u64;
                    return false;
                }
                true
            }
            Turned::Died => {
                self.die(device, process);
                false
            }
            Turned::Dropped(error) => {
                let violation = matches!(error, TurnError::Protocol);
                assert!(!violation || self.meddler.is_some(), "an honest relay was taken for a hostile one");
                self.violations += u64::from(violation);
                self.devices[device].processes[process].has_lease &= !matches!(error, TurnError::NotTheHolder);
                self.drop_connection(device, process, true);
                false
            }
        }
    }

    fn die(&mut self, device: usize, process: usize) {
        self.dies_at_write = None;
        let back_at = self.now + 1 + self.dice.around(2_000);
        self.kill(device, process, back_at);
    }
}
