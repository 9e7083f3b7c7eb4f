//! Disk or memory run short: new channels are refused first, then what waits is shared out fairly, and conversations end
//! last of all.
//!
//! What was accepted keeps its hold whatever happens. Under pressure only the quota of an end shrinks: one that takes far
//! more than its part is refused with `Full` long before one that takes little notices anything. When the disk takes
//! nothing more at all, the committer's transactions fail, senders hear `Busy`, and deliveries go on.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tacit_proto::SizeClass;
use tokio::time::{MissedTickBehavior, interval};

use crate::Config;
use crate::backlog::Quota;
use crate::channel::Rules;
use crate::hub::Hub;

/// How scarce disk or memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pressure {
    /// There is enough.
    Calm,
    /// Less than a quarter of the relay's share is left, or 2 GB of disk: no new channels, and small quotas.
    Tight,
    /// Almost nothing is left: the smallest quotas.
    Critical,
}

impl Pressure {
    const ALL: [Self; 3] = [Self::Calm, Self::Tight, Self::Critical];

    /// What there is `left` of a share, if `tight` and `critical` are where each begins.
    const fn of(left: u64, tight: u64, critical: u64) -> Self {
        match left {
            left if left <= critical => Self::Critical,
            left if left <= tight => Self::Tight,
            _ => Self::Calm,
        }
    }
}

/// The pressure now, read with every decision.
#[derive(Debug)]
pub(crate) struct PressureGauge(AtomicU8);

impl Default for PressureGauge {
    fn default() -> Self {
        Self(AtomicU8::new(Pressure::Calm as u8))
    }
}

impl PressureGauge {
    pub(crate) fn get(&self) -> Pressure {
        Pressure::ALL[usize::from(self.0.load(Ordering::Relaxed)).min(Pressure::ALL.len() - 1)]
    }

    pub(crate) fn set(&self, pressure: Pressure) -> Pressure {
        Pressure::ALL[usize::from(self.0.swap(pressure as u8, Ordering::Relaxed)).min(Pressure::ALL.len() - 1)]
    }
}

/// The rules under each pressure.
#[derive(Debug)]
pub(crate) struct RulesUnder([Rules; 3]);

impl RulesUnder {
    /// What every end may hold whatever the pressure: enough for the last words of a session, and for pairing.
    const LAST_BOXES: u32 = 16;

    /// What an end may hold when there is less: some days of a lively conversation.
    const FEW_BOXES: u32 = 256;

    pub(crate) fn new(rules: Rules) -> Self {
        let at_most = |boxes: u32| {
            let bytes = u64::from(boxes) * SizeClass::Large.box_len() as u64;
            Rules { quota: Quota { boxes: rules.quota.boxes.min(boxes), bytes: rules.quota.bytes.min(bytes) }, ..rules }
        };
        Self([rules, at_most(Self::FEW_BOXES), at_most(Self::LAST_BOXES)])
    }

    pub(crate) const fn under(&self, pressure: Pressure) -> &Rules {
        &self.0[pressure as usize]
    }
}

/// Most of the disk that must be left for things to be calm, and not critical: a share may be a terabyte.
const ENOUGH_DISK: u64 = 2 << 30;
const LAST_DISK: u64 = 64 << 20;

/// What a relay uses, and what it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes of waiting boxes.
    pub waiting: u64,
    /// Length of the spool's file. It never shrinks while the relay runs; what is dead in it is used again.
    pub spool_file: u64,
    /// What the file system would still give.
    pub disk_free: u64,
    /// The relay's share of the disk.
    pub disk_share: u64,
    /// The process's memory.
    pub memory: u64,
    /// The relay's share of that; 0 if it is not known.
    pub memory_share: u64,
}

impl Usage {
    /// How scarce things are with that.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        let reusable = self.spool_file.saturating_sub(self.waiting);
        let disk_left = self.disk_share.saturating_sub(self.waiting).min(self.disk_free.saturating_add(reusable));
        let tight = (self.disk_share / 4).min(ENOUGH_DISK);
        let disk = Pressure::of(disk_left, tight, (self.disk_share / 20).min(LAST_DISK));
        let memory = match self.memory_share {
            0 => Pressure::Calm,
            share => Pressure::of(share.saturating_sub(self.memory), share / 4, share / 20),
        };
        disk.max(memory)
    }

    /// Measures it. What cannot be measured counts as plenty: the disk's own errors are heard all the same.
    #[must_use]
    pub fn measure(waiting: u64, config: &Config) -> Self {
        let (disk_size, disk_free) = rustix::fs::statvfs(&config.data).map_or((u64::MAX, u64::MAX), |disk| {
            (disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize))
        });
        Self {
            waiting,
            spool_file: fs::metadata(config.data.join(crate::spool::DATABASE)).map_or(0, |file| file.len()),
            disk_free,
            disk_share: config.disk.of(disk_size),
            memory: resident_memory().unwrap_or(0),
            memory_share: memory_there_is().map_or(0, |whole| config.memory.of(whole)),
        }
    }
}

/// What the system says of this process's memory, in bytes. Linux only.
fn resident_memory() -> Option<u64> {
    kibibytes(Path::new("/proc/self/status"), "VmRSS:")
}

/// The memory that this process may use: the control group's limit, or all that the machine has.
fn memory_there_is() -> Option<u64> {
    let machine = machine_memory()?;
    Some(group_limit().map_or(machine, |limit| limit.min(machine)))
}

fn group_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = Path::new("/sys/fs/cgroup").join(group).join("memory.max");
    fs::read_to_string(limit).ok()?.trim().parse().ok()
}

/// Asked of the kernel: `/proc/meminfo` is hidden from a hardened service.
#[cfg(target_os = "linux")]
fn machine_memory() -> Option<u64> {
    let system = rustix::system::sysinfo();
    (system.totalram as u64).checked_mul(system.mem_unit.into())
}

#[cfg(not(target_os = "linux"))]
const fn machine_memory() -> Option<u64> {
    None
}

fn kibibytes(file: &Path, field: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// Measures again and again, and says so when things change. Never returns.
pub(crate) async fn watch(hub: Arc<Hub>, config: Arc<Config>) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let waiting = hub.tally().bytes;
        let same_config = Arc::clone(&config);
        let measured = tokio::task::spawn_blocking(move || Usage::measure(waiting, &same_config)).await;
        let Ok(usage) = measured else { return };
        let pressure = usage.pressure();
        let before = hub.set_pressure(pressure);
        match pressure {
            _ if pressure == before => {}
            Pressure::Calm => tracing::info!("there is enough disk and memory again"),
            Pressure::Tight => {
                tracing::warn!("disk or memory run short: no new channels; free some, or raise the share")
            }
            Pressure::Critical => {
                tracing::error!(
                    "disk or memory are almost used up: only few boxes may wait at each end; free some now"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1 << 30;

    fn usage() -> Usage {
        Usage {
            waiting: GB,
            spool_file: 2 * GB,
            disk_free: 100 * GB,
            disk_share: 50 * GB,
            memory: GB / 10,
            memory_share: GB,
        }
    }

    #[test]
    fn plenty_is_calm_and_scarcity_of_either_is_not() {
        let with = |change: fn(&mut Usage)| {
            let mut usage = usage();
            change(&mut usage);
            usage.pressure()
        };
        assert_eq!(with(|_| ()), Pressure::Calm);
        assert_eq!(with(|usage| usage.disk_free = GB / 2), Pressure::Tight, "half a gigabyte and one to use again");
        assert_eq!(with(|usage| usage.waiting = 49 * GB), Pressure::Tight);
        assert_eq!(with(|usage| usage.waiting = 50 * GB), Pressure::Critical);
        assert_eq!(with(|usage| usage.waiting = 60 * GB), Pressure::Critical);
        assert_eq!(with(|usage| (usage.disk_free, usage.spool_file) = (0, GB)), Pressure::Critical);
        assert_eq!(with(|usage| usage.memory = 8 * GB / 10), Pressure::Tight);
        assert_eq!(with(|usage| usage.memory = GB), Pressure::Critical);
        assert_eq!(with(|usage| (usage.memory, usage.memory_share) = (GB, 0)), Pressure::Calm, "not known");
    }

    #[test]
    fn a_small_share_is_calm_while_most_of_it_is_free() {
        let usage = Usage { waiting: 0, spool_file: 0, disk_share: 100 << 20, ..usage() };
        assert_eq!(usage.pressure(), Pressure::Calm);
        assert_eq!(Usage { waiting: 76 << 20, ..usage }.pressure(), Pressure::Tight);
        assert_eq!(Usage { waiting: 96 << 20, ..usage }.pressure(), Pressure::Critical);
    }

    #[test]
    fn quotas_shrink_with_the_pressure_and_never_grow() {
        let config = Config::new("data");
        let rules = RulesUnder::new(config.rules());
        let boxes = Pressure::ALL.map(|pressure| rules.under(pressure).quota.boxes);
        assert_eq!(boxes, [4_096, 256, 16]);
        let mut small = config.rules();
        small.quota.boxes = 10;
        let rules = RulesUnder::new(small);
        assert_eq!(Pressure::ALL.map(|pressure| rules.under(pressure).quota.boxes), [10, 10, 10]);
        assert_eq!(Pressure::ALL.map(|pressure| rules.under(pressure).hold), [config.limits.hold; 3]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_can_be_measured() {
        let data = tempfile::tempdir().unwrap();
        let usage = Usage::measure(5, &Config::new(data.path()));
        assert!(usage.memory > 1 << 20 && usage.memory_share > usage.memory, "{usage:?}");
        assert!(usage.disk_free > 0 && usage.disk_share > 0 && usage.disk_free < u64::MAX, "{usage:?}");
        assert_eq!(usage.waiting, 5);
    }
}
