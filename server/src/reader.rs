//! The reader: one thread that reads boxes back when a window admits them, because the disk must not be waited for in
//! async code.

use std::sync::Arc;

use tacit_proto::EndOf;

use crate::hub::{Hub, Scratch};
use crate::spool::Spool;
use crate::sync::mpsc::{Receiver, Sender, channel};
use crate::sync::thread::{self, JoinHandle};

/// A wish for boxes of an end. There is at most one for each end that is attached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) of: EndOf,
    pub(crate) from: u64,
    pub(crate) most: usize,
}

/// The way to the reader.
#[derive(Clone, Debug)]
pub(crate) struct LoadQueue(Sender<Option<Load>>);

/// The reader's end of it.
pub(crate) type Loads = Receiver<Option<Load>>;

impl LoadQueue {
    pub(crate) fn new() -> (Self, Loads) {
        let (sender, receiver) = channel();
        (Self(sender), receiver)
    }

    pub(crate) fn push(&self, load: Load) {
        // Without a reader, the relay is ending, and nobody is served any more.
        let _ = self.0.send(Some(load));
    }
}

/// The thread. Dropping it ends it.
pub(crate) struct Reader {
    stop: Sender<Option<Load>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(crate) fn start(hub: Arc<Hub>, spool: Arc<dyn Spool>, stop: &LoadQueue, loads: Loads) -> std::io::Result<Self> {
        let stop = stop.0.clone();
        let thread = thread::Builder::new().name("reader".to_owned()).spawn(move || {
            let mut scratch = Scratch::default();
            while let Ok(Some(load)) = loads.recv() {
                let result = spool.load(load.of, load.from, load.most);
                if let Err(error) = &result {
                    tracing::error!(%error, "a waiting box could not be read back");
                }
                hub.loaded(&mut scratch, load, result);
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.stop.send(None);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the reader failed; what it was reading still waits on disk");
        }
    }
}
