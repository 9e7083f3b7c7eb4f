//! A device at one end of a channel: it comes and goes, sends and fetches, each time in another manner, and notes in the
//! ledgers what it does and hears.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tacit_proto::frame::{Answer, Attached, Event, FromRelay, Refusal, Request, RequestId, ToRelay, Window};
use tacit_proto::{EndKey, EndOf, SizeClass};
use tokio::time::sleep;

use super::conn::{Conn, Lost};
use super::ledger::{Confirmed, Inbox, Ledger};
use super::manner::{Manner, WIDE};
use super::passing::Closing;
use super::world::{Dice, World};

/// Longer than any stay.
const FOR_EVER: Duration = Duration::from_secs(24 * 3_600);

/// How often an end is tried to be attached that the relay says is not this device's, or is busy.
const TRIES: u32 = 200;

/// A device, and the end that it holds.
pub(crate) struct Device {
    pub(crate) world: Arc<World>,
    pub(crate) of: EndOf,
    pub(crate) key: EndKey,
    /// A new key that the relay was asked to take, and did not answer for.
    pub(crate) next_key: Option<EndKey>,
    pub(crate) from: Ipv4Addr,
    pub(crate) dice: Dice,
    /// The boxes to this end, and those to the other one.
    pub(crate) here: Arc<Mutex<Ledger>>,
    pub(crate) there: Arc<Mutex<Ledger>>,
    /// If the channel is to be closed.
    pub(crate) closing: Option<Arc<Closing>>,
    /// How the relay refused this end of a closed channel.
    pub(crate) gone: Option<Refusal>,
}

/// What a request was that is not answered yet.
#[derive(Debug)]
enum Asked {
    Send { n: u64, number: u32 },
    Rekey,
    Ping,
}

/// An attachment, from its begin to its end.
pub(crate) struct Stay {
    conn: Conn,
    attached: Attached,
    inbox: Inbox,
    asked: BTreeMap<RequestId, Asked>,
    next_n: u64,
    accepted_n: u64,
    /// Something was refused: nothing is sent until everything is answered.
    held_back: bool,
    /// The other end's backlog was full: until when to wait for `Room`.
    full_until: Option<Instant>,
    /// This device is attaching the end anew: the relay may tell, and refuse.
    leaving: bool,
    superseded: bool,
    /// The relay said that nothing waits, or that nothing waited behind the newest box.
    pub(crate) is_drained: bool,
    /// The relay said that the channel is closed.
    pub(crate) is_closed: bool,
    /// The relay no longer knows a channel that was closed.
    is_forgotten: bool,
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap()
}

impl Device {
    /// Comes and goes until the weather is over. Then everything that it asked is answered, or its connection ended.
    pub(crate) async fn live(&mut self) {
        let mut stay: Option<Stay> = None;
        while !self.world.is_over() {
            let manner = Manner::draw(&mut self.dice);
            let current = match stay.take() {
                None => self.arrive(manner.window).await,
                Some(older) => self.supersede(older, manner.window).await,
            };
            let Ok(mut current) = current else {
                sleep(self.dice.millis(10, 300)).await;
                continue;
            };
            let stayed = self.stay(&mut current, manner).await;
            stay = self.leave(current, stayed).await;
            if stay.is_none() && self.dice.one_in(3) {
                sleep(self.dice.millis(1, 3_000)).await;
            }
        }
        if let Some(last) = stay {
            self.settle(last).await;
        }
    }

    /// Hears all answers, then goes.
    pub(crate) async fn settle(&mut self, mut stay: Stay) {
        while !stay.asked.is_empty() && self.read(&mut stay).await.is_ok() {}
        self.note_unanswered(&mut stay);
        stay.conn.close().await;
    }

    /// Goes in one of several ways; what is returned is to be superseded.
    async fn leave(&mut self, stay: Stay, stayed: Result<(), Lost>) -> Option<Stay> {
        if stayed.is_err() {
            self.world.counts.lost.one();
            self.give_up(stay);
            return None;
        }
        match self.dice.below(4) {
            0 | 1 if self.next_key.is_none() => Some(stay),
            2 => {
                self.settle(stay).await;
                None
            }
            _ => {
                self.give_up(stay);
                None
            }
        }
    }

    /// The connection ends, whatever is under way on it.
    fn give_up(&mut self, mut stay: Stay) {
        self.note_unanswered(&mut stay);
    }

    fn note_unanswered(&mut self, stay: &mut Stay) {
        for asked in std::mem::take(&mut stay.asked).into_values() {
            if let Asked::Send { number, .. } = asked {
                lock(&self.there).never_answered(number);
            }
        }
    }

    /// Connects, and attaches the end.
    pub(crate) async fn arrive(&mut self, window: Window) -> Result<Stay, Lost> {
        let mut conn = Conn::open(&self.world, self.from).await?;
        for _ in 0..TRIES {
            let inbox = Inbox::new(&lock(&self.here), conn.life, window);
            // After a lost answer, the new key goes first.
            let tried = self.next_key.as_ref().unwrap_or(&self.key);
            match conn.attach(self.of, tried, window).await? {
                Ok(attached) => {
                    assert!(!attached.must_rekey);
                    self.key = self.next_key.take().unwrap_or_else(|| self.key.clone());
                    return Ok(self.arrived(conn, inbox, attached));
                }
                Err(Refusal::NotAllowed) if self.next_key.is_some() => {
                    let inbox = Inbox::new(&lock(&self.here), conn.life, window);
                    match conn.attach(self.of, &self.key, window).await? {
                        Ok(attached) => {
                            self.next_key = None;
                            return Ok(self.arrived(conn, inbox, attached));
                        }
                        // The lost request has just come through.
                        Err(Refusal::NotAllowed | Refusal::Busy | Refusal::TooFast) => {}
                        Err(why) => panic!("{}: cannot be attached: {why:?}", lock(&self.here)),
                    }
                }
                Err(Refusal::Busy | Refusal::TooFast) => {}
                Err(why @ (Refusal::Gone | Refusal::NotAllowed)) if self.is_closing() => {
                    self.gone = Some(why);
                    return Err(Lost);
                }
                Err(why) => panic!("{}: cannot be attached: {why:?}", lock(&self.here)),
            }
            sleep(self.dice.millis(5, 50)).await;
        }
        Err(Lost)
    }

    fn arrived(&self, conn: Conn, inbox: Inbox, attached: Attached) -> Stay {
        self.world.counts.attached.one();
        lock(&self.here).attached(&inbox, &attached, self.world.wall_at_most());
        Stay {
            conn,
            attached,
            inbox,
            asked: BTreeMap::new(),
            next_n: 1,
            accepted_n: 0,
            held_back: false,
            full_until: None,
            leaving: false,
            superseded: false,
            is_drained: false,
            is_closed: false,
            is_forgotten: false,
        }
    }

    /// Attaches the end on another connection, while this one is there; then hears what is still said on this one.
    async fn supersede(&mut self, mut older: Stay, window: Window) -> Result<Stay, Lost> {
        older.leaving = true;
        let newer = self.arrive(window).await;
        if newer.is_ok() {
            while !(older.superseded && older.asked.is_empty()) {
                if self.read(&mut older).await.is_err() {
                    break;
                }
            }
            self.world.counts.superseded.one_if(older.superseded);
        }
        self.give_up(older);
        newer
    }

    pub(crate) async fn stay(&mut self, stay: &mut Stay, manner: Manner) -> Result<(), Lost> {
        let world = Arc::clone(&self.world);
        if manner.rekeys {
            let new = EndKey::draw(&mut super::rng());
            let rekey = stay.conn.rekey(&stay.attached, self.of, &self.key, &new);
            self.next_key = Some(new);
            let id = stay.conn.request(rekey).await?;
            stay.asked.insert(id, Asked::Rekey);
        }
        let deaf_at = self.dice.below(manner.frames);
        for frame in 0..manner.frames {
            if world.is_over() || stay.is_closed {
                break;
            }
            self.send_some(stay, manner).await?;
            if frame == deaf_at && !manner.deaf.is_zero() {
                world.counts.deaf.one();
                sleep(manner.deaf).await;
            }
            let mut ack_every = manner.ack_every;
            match stay.conn.read_within(Duration::from_millis(50)).await? {
                Some(frame) => self.take(stay, frame)?,
                // Nothing more may come that would make it enough.
                None => ack_every = ack_every.min(1),
            }
            self.ack(stay, ack_every).await?;
            if self.dice.one_in(32) {
                self.ping(stay).await?;
            }
            sleep(manner.pause).await;
        }
        // The key is settled, or what follows would not know which to use.
        while stay.asked.values().any(|asked| matches!(asked, Asked::Rekey)) {
            self.read(stay).await?;
        }
        Ok(())
    }

    async fn send_some(&mut self, stay: &mut Stay, manner: Manner) -> Result<(), Lost> {
        if stay.asked.is_empty() && stay.held_back {
            (stay.held_back, stay.next_n) = (false, stay.accepted_n + 1);
        }
        if stay.full_until.is_some_and(|until| Instant::now() >= until) {
            stay.full_until = None;
        }
        while stay.asked.len() < manner.burst && !stay.held_back && stay.full_until.is_none() {
            let class = if self.dice.one_in(manner.large_one_in) { SizeClass::Large } else { SizeClass::Small };
            let (number, payload) = lock(&self.there).send(class, &self.world);
            let n = stay.next_n;
            stay.next_n += 1;
            // Noted first: what is cut short on its way may have come.
            let id = RequestId::new(stay.conn.last_request() + 1).unwrap();
            stay.asked.insert(id, Asked::Send { n, number });
            stay.conn.request(Request::Send { handle: stay.attached.handle, n, payload }).await?;
        }
        Ok(())
    }

    async fn ack(&mut self, stay: &mut Stay, every: usize) -> Result<(), Lost> {
        if every == 0 || stay.inbox.unacked() < every {
            return Ok(());
        }
        let count = stay.inbox.unacked();
        let up_to = lock(&self.here).ack(&mut stay.inbox, count, stay.conn.last_request(), &self.world);
        match up_to {
            Some(up_to) => stay.conn.write(ToRelay::Ack { handle: stay.attached.handle, up_to }).await,
            None => Ok(()),
        }
    }

    async fn ping(&mut self, stay: &mut Stay) -> Result<(), Lost> {
        if !stay.asked.values().any(|asked| matches!(asked, Asked::Ping)) {
            lock(&self.here).ask(&mut stay.inbox, stay.conn.last_request() + 1);
            let id = stay.conn.request(Request::Ping).await?;
            stay.asked.insert(id, Asked::Ping);
        }
        Ok(())
    }

    async fn read(&mut self, stay: &mut Stay) -> Result<(), Lost> {
        let frame = stay.conn.read().await?;
        self.take(stay, frame)
    }

    fn take(&mut self, stay: &mut Stay, frame: FromRelay) -> Result<(), Lost> {
        match frame {
            FromRelay::Event(event) => self.event(stay, event),
            FromRelay::Answer(id, answer) => {
                let asked = stay.asked.remove(&id).expect("nothing is answered that was not asked, or twice");
                // Once another connection is attaching the end, an ack here may come too late.
                if !stay.leaving {
                    lock(&self.here).confirm(&mut stay.inbox, id.get(), &self.world);
                }
                self.answered(stay, asked, answer);
                Ok(())
            }
        }
    }

    fn answered(&mut self, stay: &mut Stay, asked: Asked, answer: Answer) {
        let counts = &self.world.counts;
        match (asked, answer) {
            (Asked::Send { n, number }, Answer::Accepted { handle, n: accepted, hold }) => {
                assert_eq!((handle, accepted, hold), (stay.attached.handle, n, self.world.limits.0.hold));
                assert_eq!(n, stay.accepted_n + 1, "{}: accepted out of order", lock(&self.there));
                stay.accepted_n = n;
                counts.accepted.one();
                lock(&self.there).accepted(number);
            }
            (Asked::Send { number, .. }, Answer::Refused(why)) => {
                match why {
                    Refusal::Full => {
                        counts.full.one();
                        stay.full_until = Some(Instant::now() + self.dice.millis(50, 1_000));
                    }
                    Refusal::Busy => counts.busy.one(),
                    Refusal::OutOfTurn => {
                        assert!(
                            stay.held_back || stay.leaving,
                            "{}: out of turn, and none was refused",
                            lock(&self.there)
                        );
                        counts.out_of_turn.one();
                    }
                    Refusal::TooFast => {}
                    // Forgotten, if the closed channel's time ran out too.
                    Refusal::NotAllowed if stay.leaving || self.is_closing() => {}
                    Refusal::Gone if self.is_closing() => stay.full_until = Some(Instant::now() + FOR_EVER),
                    other => panic!("{}: refused: {other:?}", lock(&self.there)),
                }
                stay.held_back = true;
                lock(&self.there).refused(number);
            }
            (Asked::Rekey, Answer::Done) => {
                counts.rekeyed.one();
                self.key = self.next_key.take().unwrap();
            }
            (Asked::Rekey, Answer::Refused(Refusal::Busy | Refusal::TooFast)) => self.next_key = None,
            (Asked::Rekey, Answer::Refused(Refusal::NotAllowed)) if self.is_closing() => self.next_key = None,
            (Asked::Ping, Answer::Pong(handles)) => {
                stay.is_forgotten = handles.is_empty() && self.is_closing();
                assert!(stay.leaving || stay.is_forgotten || handles == [stay.attached.handle], "{handles:?}");
            }
            (asked, answer) => panic!("{}: {asked:?} is answered {answer:?}", lock(&self.here)),
        }
    }

    fn event(&mut self, stay: &mut Stay, event: Event) -> Result<(), Lost> {
        let mine = stay.attached.handle;
        match event {
            Event::Deliver { handle, seq, payload, last } => {
                assert!(handle == mine && !stay.superseded);
                lock(&self.here).delivered(&mut stay.inbox, seq, &payload, &self.world);
                stay.is_drained = last;
            }
            Event::Drained(handle) => {
                assert!(handle == mine && !stay.superseded);
                lock(&self.here).drained(&stay.inbox, &self.world);
                stay.is_drained = true;
            }
            Event::Room(handle) => {
                assert_eq!(handle, mine);
                stay.full_until = None;
            }
            Event::Superseded(handle) => {
                assert!(handle == mine && stay.leaving, "{}: superseded by a stranger", lock(&self.here));
                stay.superseded = true;
            }
            Event::Closed(handle, _) => {
                assert!(handle == mine && self.is_closing(), "{}: closed, and nobody asked for it", lock(&self.here));
                lock(&self.here).drained(&stay.inbox, &self.world);
                stay.is_closed = true;
            }
            Event::Restarting { .. } => return Err(Lost),
            other => panic!("{}: {other:?}", lock(&self.here)),
        }
        Ok(())
    }

    /// Fetches what there is at the end until the relay says that nothing waits. The other end sends nothing more.
    pub(crate) async fn fetch(&mut self, stay: &mut Stay) {
        while !stay.is_drained || stay.inbox.unacked() > 0 {
            self.read(stay).await.expect("nothing is killed any more");
            self.ack(stay, 1).await.expect("nothing is killed any more");
        }
        // The answer says that the last ack was read.
        self.ping(stay).await.expect("nothing is killed any more");
        while !stay.asked.is_empty() {
            self.read(stay).await.expect("nothing is killed any more");
        }
    }

    // Closing.

    fn is_closing(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.begun.load(Ordering::SeqCst))
    }

    /// Fetches what there is, until the relay says that the channel is closed.
    pub(crate) async fn until_closed(&mut self, stay: &mut Stay) -> Result<(), Lost> {
        while !stay.is_closed {
            match stay.conn.read_within(Duration::from_millis(500)).await? {
                Some(frame) => self.take(stay, frame)?,
                None if stay.is_forgotten => return Err(Lost),
                None => self.ping(stay).await?,
            }
            self.ack(stay, 1).await?;
        }
        Ok(())
    }

    /// Closes the channel, or answers that it is closed.
    pub(crate) async fn close(&mut self, mut stay: Stay) -> Result<(), Lost> {
        while !stay.asked.is_empty() && self.read(&mut stay).await.is_ok() {}
        self.note_unanswered(&mut stay);
        // What is delivered meanwhile, nobody wants any more.
        match stay.conn.ask(Request::Close { handle: stay.attached.handle }, &mut Vec::new()).await? {
            Answer::Done => Ok(()),
            Answer::Refused(Refusal::Busy | Refusal::TooFast | Refusal::NotAllowed) => Err(Lost),
            other => panic!("{}: `Close` is answered {other:?}", lock(&self.here)),
        }
    }

    /// What the relay says to this end when both have closed.
    pub(crate) async fn gone_for_good(&mut self) -> Refusal {
        self.gone = None;
        loop {
            match self.arrive(WIDE).await {
                Ok(_) => panic!("{}: forgotten, and attached", lock(&self.here)),
                Err(Lost) => sleep(self.dice.millis(10, 100)).await,
            }
            if let Some(why) = self.gone {
                return why;
            }
        }
    }

    /// Changes the end's key again and again, each time twice: what the relay had been told before the first is on the
    /// disk with the second. (An ack of a box that is just being stored is written after it is.)
    pub(crate) async fn gauge(&mut self) {
        while !self.world.is_over() {
            if let Ok(mut stay) = self.arrive(WIDE).await {
                while !self.world.is_over() && self.measure(&mut stay).await.is_ok() {
                    sleep(self.dice.millis(20, 200)).await;
                }
            }
            sleep(self.dice.millis(10, 100)).await;
        }
    }

    async fn measure(&mut self, stay: &mut Stay) -> Result<(), Lost> {
        let up_to = Confirmed { life: stay.conn.life, at_ms: self.world.millis() };
        for _ in 0..2 {
            let new = EndKey::draw(&mut super::rng());
            let rekey = stay.conn.rekey(&stay.attached, self.of, &self.key, &new);
            self.next_key = Some(new);
            match stay.conn.ask(rekey, &mut Vec::new()).await? {
                Answer::Done => self.key = self.next_key.take().unwrap(),
                Answer::Refused(Refusal::Busy | Refusal::TooFast) => {
                    self.next_key = None;
                    return Ok(());
                }
                other => panic!("{other:?}"),
            }
            self.world.counts.rekeyed.one();
        }
        self.world.note_on_disk(up_to);
        Ok(())
    }
}
