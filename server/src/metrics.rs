//! Numbers for the operator's monitoring, on a loopback address: metrics for Prometheus, and whether the relay is alive and
//! ready.
//!
//! Monitoring keeps numbers for months and shows them to more people than may enter the machine. At a relay with three
//! clients, a counter that grows by one at 22:14 says that somebody wrote. So everything that people cause is shown
//! [blurred](blur), and nothing is shown per channel; how the machine is doing is shown as it is, in coarse steps.

mod blur;
mod names;
mod server;

use std::sync::Arc;
use std::time::SystemTime;

use rand_core::Rng;
use tokio::sync::watch;

use crate::Config;
use crate::connection::Stage;
use crate::counters::Counter;
use crate::hub::Hub;
use crate::pressure::Usage;
use crate::sync::{Mutex, lock};
use crate::tls::Tls;
use blur::{Blur, Crowd};
use names::{Metric, Sample};
pub(crate) use server::MetricsServer;

/// Grains of what is shown of the machine: fine enough to see trouble come, too coarse to see a message go by, or a file.
const DISK_GRAIN: u64 = 64 << 20;
const MEMORY_GRAIN: u64 = 8 << 20;
const QUEUE_GRAIN: u64 = 16;

/// What is asked for numbers.
pub(crate) struct Metrics {
    hub: Arc<Hub>,
    config: Arc<Config>,
    stage: watch::Receiver<Stage>,
    tls: Option<Arc<Tls>>,
    blur: Mutex<Blur>,
}

/// Why a relay is not ready for devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotReady {
    #[error("the relay is ending, or drained for maintenance")]
    Away,
    #[error("the spool cannot be written: new boxes are refused, what waits is delivered")]
    SpoolNotWritable,
    #[error("there is no certificate that is good now: no device connects; the log says why")]
    NoCertificate,
}

impl Metrics {
    pub(crate) fn new(
        hub: Arc<Hub>,
        config: Arc<Config>,
        stage: watch::Receiver<Stage>,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        let blur = Mutex::new(Blur::new(hub.now().millis, config.metrics_every));
        Self { hub, config, stage, tls, blur }
    }

    /// For how many seconds the certificate is good; 0 if there is none. `None`: it needs none that ends.
    fn certificate_left(&self) -> Option<u64> {
        let tls = self.tls.as_ref().filter(|tls| tls.has_end())?;
        let until = tls.validity().map(|validity| validity.until);
        Some(until.and_then(|until| until.duration_since(SystemTime::now()).ok()).map_or(0, |left| left.as_secs()))
    }

    pub(crate) fn ready(&self) -> Result<(), NotReady> {
        match *self.stage.borrow() {
            Stage::Serving if !self.hub.queue.is_writable() => Err(NotReady::SpoolNotWritable),
            Stage::Serving if self.certificate_left() == Some(0) => Err(NotReady::NoCertificate),
            Stage::Serving => Ok(()),
            Stage::Finishing | Stage::Ending => Err(NotReady::Away),
        }
    }

    /// All of them, in Prometheus' text format. Blocks for as long as the file system takes to say how full it is.
    pub(crate) fn text(&self) -> String {
        names::text(&self.samples())
    }

    fn samples(&self) -> Vec<Sample> {
        let (hub, config) = (&self.hub, &self.config);
        let (now, holds) = (hub.now(), hub.tally());
        let exact = Crowd {
            counted: Counter::ALL.map(|counter| hub.counters.get(counter)),
            connections: hub.counters.served_now(),
            holds,
        };
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let (counted, gauges) = {
            let mut blur = lock(&self.blur);
            let shown = blur.show(now.millis, &exact, &mut |bound| rng.next_u64() % bound);
            (shown.counted, shown.gauges)
        };
        let usage = Usage::measure(holds.bytes, config);
        let away = self.ready() == Err(NotReady::Away);
        let coarse = |exact: u64, grain: u64| exact / grain * grain;

        let mut samples: Vec<Sample> =
            Counter::ALL.into_iter().zip(counted).map(|(counter, sum)| (Metric::Counted(counter), Some(sum))).collect();
        samples.extend([
            (Metric::Connections, gauges.map(|gauges| gauges.connections)),
            (Metric::Attached, gauges.map(|gauges| gauges.holds.attached)),
            (Metric::Channels, gauges.map(|gauges| gauges.holds.channels)),
            (Metric::WaitingBoxes, gauges.map(|gauges| gauges.holds.boxes)),
            (Metric::WaitingBytes, gauges.map(|gauges| gauges.holds.bytes)),
        ]);
        let machine = [
            (Metric::ConnectionsLimit, config.abuse.connections as u64),
            (Metric::CommitQueue, coarse(hub.queue.len() as u64, QUEUE_GRAIN)),
            (Metric::SpoolWritable, hub.queue.is_writable().into()),
            (Metric::EpochAge, hub.queue.epoch_age().as_secs()),
            (Metric::SpoolFile, coarse(usage.spool_file, DISK_GRAIN)),
            (Metric::DiskFree, coarse(usage.disk_free, DISK_GRAIN)),
            (Metric::DiskShare, usage.disk_share),
            (Metric::Memory, coarse(usage.memory, MEMORY_GRAIN)),
            (Metric::MemoryShare, usage.memory_share),
            (Metric::Pressure, hub.pressure() as u64),
            (Metric::Away, away.into()),
            (Metric::Up, now.millis / 1_000),
            (Metric::Build, 1),
        ];
        samples.extend(machine.map(|(metric, value)| (metric, Some(value))));
        samples.push((Metric::CertificateLeft, self.certificate_left()));
        samples
    }
}
