//! What goes wrong, and how often: every seed has its own climate, in which some kinds of fault do not happen at all.

use tacit_proto::frame::Limits;

use super::dice::Dice;
use super::people::People;
use super::relay::Manners;
use super::world::World;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A connection is cut, with what is under way on it.
    Cut,
    /// Nothing gets through on a connection for a while.
    Stall,
    /// A device is away for a while.
    Away,
    /// The process of a device is killed.
    Kill,
    /// A process gets no processor for a while.
    Freeze,
    /// The relay's process dies, and comes back.
    RelayCrash,
    /// The relay comes back without its backlog.
    RelayLoss,
    /// The relay says that it is about to end, and does.
    RelayRestart,
    /// A device's wall clock jumps by up to a month.
    ClockJump,
    /// A week goes by on all wall clocks.
    Week,
    /// A person resets a conversation.
    Reset,
    /// Ratchet state of a contact is damaged on one side.
    Damage,
    /// A device is restored from a backup, which holds no ratchets.
    Restore,
}

impl Fault {
    const ALL: [Self; 13] = [
        Self::Cut,
        Self::Stall,
        Self::Away,
        Self::Kill,
        Self::Freeze,
        Self::RelayCrash,
        Self::RelayLoss,
        Self::RelayRestart,
        Self::ClockJump,
        Self::Week,
        Self::Reset,
        Self::Damage,
        Self::Restore,
    ];
}

/// What kinds of fault there are in one seed, and how often.
#[derive(Debug)]
pub(super) struct Climate {
    pub(super) manners: Manners,
    pub(super) delay_ms: u64,
    pub(super) faults: Vec<Fault>,
    /// The mean time between two of them.
    pub(super) every_ms: u64,
    pub(super) lasts_ms: u64,
    pub(super) dies_once_in: u64,
    pub(super) calls_die: u64,
    /// How many processes each device has.
    pub(super) processes: Vec<usize>,
    pub(super) texts: u64,
    pub(super) files: u64,
    /// How long an away lasts, more or less.
    pub(super) away_ms: u64,
}

impl Climate {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let faults = Fault::ALL.into_iter().filter(|_| dice.per_mille(400)).collect();
        let mut sometimes = |times: u64, value: u64| if dice.per_mille(times) { value } else { 0 };
        let (refuses, fails_to_store) = (sometimes(300, 100), sometimes(200, 100));
        let (dies_once_in, calls_die) = (sometimes(400, 40), sometimes(300, 100));
        // A hold that is shorter than some absences.
        let short = dice.per_mille(250);
        let hold = if short { dice.between(120, 900) } else { 21 * 24 * 3600 };
        let few = dice.per_mille(250);
        let limits = Limits {
            hold: hold as u32,
            in_flight: if dice.per_mille(200) { dice.between(1, 4) as u32 } else { 64 },
            window_boxes: if dice.per_mille(200) { dice.between(1, 3) as u32 } else { 64 },
            window_bytes: 256 * 1024,
            backlog_boxes: if few { dice.between(3, 12) as u32 } else { 4_096 },
            backlog_bytes: if few { 200_000 } else { 16 * 1024 * 1024 },
        };
        let clients = if dice.per_mille(300) { 2 } else { 1 };
        let processes = (0..=clients).map(|_| if dice.per_mille(250) { 2 } else { 1 }).collect();
        Self {
            manners: Manners { limits, commit_ms: dice.between(0, 30), refuses, fails_to_store },
            delay_ms: if dice.per_mille(300) { 2_000 } else { 50 },
            faults,
            every_ms: dice.between(3, 40) * 1_000,
            lasts_ms: dice.between(60, 400) * 1_000,
            dies_once_in,
            calls_die,
            processes,
            texts: dice.between(2, 14),
            files: if dice.per_mille(300) { dice.between(1, 3) } else { 0 },
            away_ms: if short { 600_000 } else { 60_000 },
        }
    }

    /// Whether something may be lost at the relay although it was accepted.
    pub(super) fn loses(&self) -> bool {
        self.manners.limits.hold < 24 * 3600 || self.faults.contains(&Fault::RelayLoss)
    }

    /// Lets one fault happen.
    pub(super) fn strike(&self, world: &mut World, people: &mut People) {
        let Some(fault) = self.faults.get(world.dice.below(self.faults.len() as u64) as usize).copied() else {
            return;
        };
        let now = world.now;
        let device = world.dice.below(world.devices.len() as u64) as usize;
        let process = world.dice.below(world.devices[device].processes.len() as u64) as usize;
        let links = world.open_links();
        let link = links.get(world.dice.below(links.len() as u64) as usize).copied();
        match (fault, link) {
            (Fault::Cut, Some(link)) => world.cut(link),
            (Fault::Stall, Some(link)) => {
                let until = now + world.dice.around(30_000);
                world.stall(link, until);
            }
            (Fault::Cut | Fault::Stall, None) => {}
            (Fault::Away, _) => world.devices[device].away_until = now + world.dice.around(self.away_ms),
            (Fault::Kill, _) => {
                let back_at = now + 1 + world.dice.around(10_000);
                world.kill(device, process, back_at);
            }
            (Fault::Freeze, _) => {
                world.devices[device].processes[process].frozen_until = now + world.dice.around(30_000);
            }
            (Fault::RelayCrash | Fault::RelayLoss, _) => {
                let back_at = now + world.dice.around(10_000);
                world.crash_relay(back_at, fault == Fault::RelayLoss);
            }
            (Fault::RelayRestart, _) => world.restart_relay(),
            (Fault::ClockJump, _) => {
                const MONTH_MS: u64 = 30 * 24 * 3600 * 1_000;
                let jump = world.dice.below(2 * MONTH_MS) as i64 - MONTH_MS as i64;
                world.devices[device].clock_error = jump;
            }
            // An invite would not outlive it.
            (Fault::Week, _) if !people.all_paired(world) => {}
            (Fault::Week, _) => {
                const WEEK_MS: i64 = 8 * 24 * 3600 * 1_000;
                world.devices.iter_mut().for_each(|device| device.clock_error += WEEK_MS);
            }
            (Fault::Reset | Fault::Damage | Fault::Restore, _) => {
                let pair = world.dice.below(people.pairs.len() as u64) as usize;
                let side = world.dice.below(2) as usize;
                match fault {
                    Fault::Reset => people.reset(world, pair, side),
                    Fault::Damage => people.damage(world, pair, side),
                    _ => people.restore(world, pair, side),
                }
            }
        }
        // Whoever slept through it looks again.
        for device in 0..world.devices.len() {
            world.poke(device);
        }
    }

    /// From here on nothing goes wrong any more.
    pub(super) fn clear(world: &mut World) {
        world.relay.manners.refuses = 0;
        world.relay.manners.fails_to_store = 0;
        world.dies_once_in = 0;
        world.relay_down_until = 0;
        for device in 0..world.devices.len() {
            world.devices[device].away_until = 0;
            for process in &mut world.devices[device].processes {
                process.frozen_until = 0;
            }
            world.poke(device);
        }
    }
}
