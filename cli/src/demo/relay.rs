//! The relay of the demo, and its operator.

use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tacit_proto::EnrolCode;
use tacit_proto::link::{EnrolmentLink, RelayPlace};
use tacit_server::{Config, Enrolments, Offer, run};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::world::{demo, random};
use crate::failure::Failure;

const PERMITS: NonZeroU16 = NonZeroU16::new(20).unwrap();
const AN_HOUR: u64 = 3_600;
/// The relay says goodbye to its devices; they are gone already.
const GOODBYE: Duration = Duration::from_secs(5);

/// A relay that runs until it is dropped.
pub(super) struct Relay {
    enrolment_link: String,
    shutdown: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

impl Relay {
    /// Starts a relay on a free port of this machine, and makes one enrolment link for it.
    pub(super) fn start(data: &Path) -> Result<Self, Failure> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(demo)?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).map_err(demo)?;
        let address = format!("ws://{}", listener.local_addr().map_err(demo)?);
        let enrolment_link = enrol(data, &address)?;
        let (shutdown, told) = oneshot::channel();
        let config = Config::new(data);
        let serving = runtime.spawn(async move {
            // If it fails, the devices say that they do not reach it.
            let _ = run(listener, async { drop(told.await) }, config).await;
        });
        Ok(Self { enrolment_link, shutdown: Some(shutdown), serving: Some(serving), runtime: Some(runtime) })
    }

    pub(super) fn enrolment_link(&self) -> String {
        self.enrolment_link.clone()
    }
}

/// What `tacit-server enrol` does.
fn enrol(data: &Path, address: &str) -> Result<String, Failure> {
    let code = EnrolCode::from_bytes(random()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let offer = Offer { permits: PERMITS, expires: now + AN_HOUR };
    Enrolments::open(data).and_then(|enrolments| enrolments.add(&code.hash(), offer)).map_err(demo)?;
    let address = address.parse().map_err(|error| demo(io::Error::other(error)))?;
    let link = EnrolmentLink { relay: RelayPlace { address, pin: None }, code, permits: PERMITS.get() };
    Ok(link.to_uri())
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
        }
        if let (Some(runtime), Some(serving)) = (self.runtime.take(), self.serving.take()) {
            let _ = runtime.block_on(async { tokio::time::timeout(GOODBYE, serving).await });
            runtime.shutdown_timeout(GOODBYE);
        }
    }
}
