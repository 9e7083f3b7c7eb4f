//! One server's part in the contest: what it is asked to do, and what it took.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use tokio::task::JoinSet;

use crate::line::{Line, send, take};
use crate::promise::{Promise, Trace};
use crate::support::process_time;

/// Messages of which it is looked at what came before their acks.
const TRACED: u64 = 40;

/// A server, to connect to.
pub trait Server: Send + Sync + 'static {
    type Line: Line;

    fn sender(&self, pair: usize) -> impl Future<Output = Self::Line> + Send;
    /// What waits begins to come at once.
    fn receiver(&self, pair: usize) -> impl Future<Output = Self::Line> + Send;
}

/// What one thing took, for each message.
#[derive(Clone, Copy)]
pub struct Took {
    pub rate: f64,
    /// Processor time of the server, in microseconds.
    pub cost: f64,
}

pub struct Round {
    pub stored: Took,
    pub drained: Took,
    pub online: Took,
}

/// How many of the acks came after the server had synced something since the message was sent.
pub struct Synced {
    pub stored: f64,
    pub online: f64,
}

/// Any server.
pub trait Contestant {
    fn name(&self) -> &str;
    fn promise(&self) -> Promise;
    /// So many messages of every sender are stored, then drained; and as many once more to receivers that are there.
    fn round(&mut self, messages: u64) -> LocalBoxFuture<'_, Round>;
    /// Looks whether the server syncs before it acks a message that comes alone.
    fn traced(&mut self) -> LocalBoxFuture<'_, Synced>;
}

pub struct Contest<S: Server> {
    name: String,
    promise: Promise,
    process: u32,
    server: Arc<S>,
    senders: Vec<S::Line>,
    /// The number of the next message of every sender.
    sent: u64,
}

impl<S: Server> Contest<S> {
    pub async fn new(name: &str, promise: Promise, process: u32, server: S, pairs: usize) -> Box<Self> {
        let mut senders = Vec::new();
        for pair in 0..pairs {
            senders.push(server.sender(pair).await);
        }
        Box::new(Self { name: name.to_owned(), promise, process, server: Arc::new(server), senders, sent: 0 })
    }

    /// Does something, and says what it took by the message. What the server goes on doing afterwards counts for its
    /// processor time and not for its rate.
    async fn timed(&mut self, messages: u64, work: impl AsyncFnOnce(&mut Self)) -> Took {
        quiet(self.process).await;
        let (started, before) = (Instant::now(), process_time(self.process));
        work(self).await;
        let lasted = started.elapsed().as_secs_f64();
        quiet(self.process).await;
        let cost = process_time(self.process).saturating_sub(before).as_secs_f64() * 1e6;
        let messages = (messages * self.senders.len() as u64) as f64;
        Took { rate: messages / lasted, cost: cost / messages }
    }

    async fn all_send(&mut self, messages: u64) {
        let mut tasks = JoinSet::new();
        for (pair, mut line) in self.senders.drain(..).enumerate() {
            let numbers = self.sent..self.sent + messages;
            tasks.spawn(async move {
                send(&mut line, numbers).await;
                (pair, line)
            });
        }
        self.sent += messages;
        self.senders = in_order(tasks).await;
    }

    /// Sends one message after the other from the first sender, and says when each was sent and acked.
    async fn one_by_one(&mut self) -> Vec<(SystemTime, SystemTime)> {
        let mut times = Vec::new();
        for _ in 0..TRACED {
            let sent = SystemTime::now();
            send(&mut self.senders[0], self.sent..self.sent + 1).await;
            times.push((sent, SystemTime::now()));
            self.sent += 1;
        }
        times
    }
}

impl<S: Server> Contestant for Contest<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn promise(&self) -> Promise {
        self.promise
    }

    fn round(&mut self, messages: u64) -> LocalBoxFuture<'_, Round> {
        async move {
            let first = self.sent;
            let stored = self.timed(messages, async |all| all.all_send(messages).await).await;
            let mut receivers = Vec::new();
            let drained = async |all: &mut Self| {
                let coming = (0..all.senders.len()).map(|pair| {
                    let server = Arc::clone(&all.server);
                    async move { server.receiver(pair).await }.boxed()
                });
                receivers = in_order(all_take(coming.collect(), first..first + messages)).await;
            };
            let drained = self.timed(messages, drained).await;
            let online = async |all: &mut Self| {
                let here = receivers.drain(..).map(|line| async move { line }.boxed()).collect();
                let taking = all_take(here, all.sent..all.sent + messages);
                all.all_send(messages).await;
                receivers = in_order(taking).await;
            };
            let online = self.timed(messages, online).await;
            for line in receivers {
                line.leave().await;
            }
            Round { stored, drained, online }
        }
        .boxed_local()
    }

    fn traced(&mut self) -> LocalBoxFuture<'_, Synced> {
        async move {
            // Only the first pair takes part. The others leave these numbers out.
            let first = self.sent;
            let trace = Trace::of(self.process).await;
            let times = self.one_by_one().await;
            let stored = trace.share_synced(&times);
            let mut receiver = self.server.receiver(0).await;
            take(&mut receiver, first..self.sent).await;
            quiet(self.process).await;

            let numbers = self.sent..self.sent + TRACED;
            let taking = tokio::spawn(async move {
                take(&mut receiver, numbers).await;
                receiver
            });
            let trace = Trace::of(self.process).await;
            let times = self.one_by_one().await;
            let online = trace.share_synced(&times);
            taking.await.unwrap().leave().await;
            Synced { stored, online }
        }
        .boxed_local()
    }
}

/// Everybody takes messages with these numbers, as soon as they are here.
fn all_take<L: Line>(receivers: Vec<BoxFuture<'static, L>>, numbers: Range<u64>) -> JoinSet<(usize, L)> {
    let mut tasks = JoinSet::new();
    for (pair, coming) in receivers.into_iter().enumerate() {
        let numbers = numbers.clone();
        tasks.spawn(async move {
            let mut line = coming.await;
            take(&mut line, numbers).await;
            (pair, line)
        });
    }
    tasks
}

async fn in_order<L: 'static>(tasks: JoinSet<(usize, L)>) -> Vec<L> {
    let mut all = tasks.join_all().await;
    all.sort_unstable_by_key(|(pair, _)| *pair);
    all.into_iter().map(|(_, line)| line).collect()
}

/// Waits until a process has nothing more to do, or next to nothing: five seconds at most.
async fn quiet(process: u32) {
    for _ in 0..100 {
        let before = process_time(process);
        tokio::time::sleep(Duration::from_millis(50)).await;
        if process_time(process).saturating_sub(before) < Duration::from_millis(2) {
            return;
        }
    }
}
