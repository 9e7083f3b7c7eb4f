//! Channels that come and go while the weather lasts: each is enrolled for, opened, claimed, talked on, closed by end A and
//! forgotten, whatever happens in between.

use std::net::Ipv4Addr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tacit_proto::frame::{Answer, Open, Refusal, Request};
use tacit_proto::{ChannelId, End, EndKey, EndOf, EnrolCode, Permit};
use tacit_server::{Enrolments, Offer};
use tokio::time::sleep;

use super::conn::{Conn, Lost};
use super::end::Device;
use super::ledger::Ledger;
use super::manner::{Manner, WIDE};
use super::world::{Dice, World, address};

/// How far the closing of a channel is.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    pub(crate) begun: AtomicBool,
    done: AtomicBool,
}

/// What became of an attempt to claim an end.
enum Claim {
    Done,
    TooLate,
    /// Neither key is known, or the invite's is used and the new one was not known a moment ago.
    Unknown,
}

/// Opens one channel after the other.
pub(crate) struct Passer {
    pub(crate) world: Arc<World>,
    pub(crate) data: PathBuf,
    pub(crate) place: u16,
    pub(crate) dice: Dice,
}

impl Passer {
    pub(crate) async fn live(&mut self) {
        for number in 0_u16.. {
            if self.world.is_over() {
                return;
            }
            // Another address each time: after a crash a device has to try two keys, and one of them is wrong.
            let from = address(0x1000 * (4 + self.place) + number % 0x1000);
            self.pass(number, from).await;
            self.world.counts.passed.one();
        }
    }

    async fn pass(&mut self, number: u16, from: Ipv4Addr) {
        let (code, permit) = (EnrolCode::draw(&mut super::rng()), Permit::draw(&mut super::rng()));
        let offer = Offer { permits: NonZeroU16::MIN, expires: u64::MAX };
        Enrolments::open(&self.data).unwrap().add(&code.hash(), offer).unwrap();
        self.insist(from, &Request::Enrol { code, permit_hashes: vec![permit.hash()] }).await;

        let (channel, a, invite) =
            (ChannelId::draw(&mut super::rng()), EndKey::draw(&mut super::rng()), EndKey::draw(&mut super::rng()));
        let join_by = NonZeroU32::new(self.world.limits.0.hold).unwrap();
        let open = Open { channel, permit, key_a: a.public(), key_b: invite.public(), join_by };
        self.insist(from, &Request::Open(Box::new(open))).await;

        let of = |end| EndOf { channel, end };
        let claimed = self.claim(from, of(End::B), invite).await;
        let closing = Arc::new(Closing::default());
        let ledger = |to| Arc::new(Mutex::new(Ledger::new(0x8000 | number, to)));
        let (to_a, to_b) = (ledger(End::A), ledger(End::B));
        let mut device = |end: End, key, here: &Arc<_>, there: &Arc<_>| Device {
            world: Arc::clone(&self.world),
            of: of(end),
            key,
            next_key: None,
            from,
            dice: self.dice.part(),
            here: Arc::clone(here),
            there: Arc::clone(there),
            closing: Some(Arc::clone(&closing)),
            gone: None,
        };
        let mut a = device(End::A, a, &to_a, &to_b);
        match claimed {
            Some(b) => {
                let mut b = device(End::B, b, &to_b, &to_a);
                tokio::join!(host(&mut a, &closing), guest(&mut b, &closing));
                assert_eq!(b.gone_for_good().await, Refusal::NotAllowed, "it is forgotten");
            }
            // Its time ran out first. End A answers that as it would the other end's `Close`.
            None => {
                closing.begun.store(true, Ordering::SeqCst);
                closing.done.store(true, Ordering::SeqCst);
                guest(&mut a, &closing).await;
            }
        }
        assert_eq!(a.gone_for_good().await, Refusal::NotAllowed, "it is forgotten");
        for ledger in [to_a, to_b] {
            let ledger = ledger.lock().unwrap();
            let totals = ledger.totals(self.world.wall_at_most());
            assert!(totals.held == 0, "{ledger}: closed and forgotten, with {totals:?}");
            self.world.add(totals);
        }
    }

    /// Asks until it is done. Each answer may be lost; a request may be repeated.
    async fn insist(&mut self, from: Ipv4Addr, request: &Request) {
        loop {
            if let Ok(mut conn) = Conn::open(&self.world, from).await {
                match conn.ask(request.clone(), &mut Vec::new()).await {
                    Ok(Answer::Done) => return,
                    Ok(Answer::Refused(Refusal::Busy | Refusal::TooFast)) | Err(Lost) => {}
                    Ok(other) => panic!("{request:?} is answered {other:?}"),
                }
            }
            sleep(self.dice.millis(10, 200)).await;
        }
    }

    /// The key that end B has then; none if nobody claimed it in time.
    async fn claim(&mut self, from: Ipv4Addr, of: EndOf, invite: EndKey) -> Option<EndKey> {
        let new = EndKey::draw(&mut super::rng());
        let (mut asked, mut unknown) = (false, 0);
        // Refused again and again, it is forgotten; a request that has just come through is found at the next try.
        while unknown < 20 {
            match self.try_to_claim(from, of, &invite, &new, &mut asked).await {
                Ok(Claim::Done) => return Some(new),
                Ok(Claim::TooLate) => return None,
                Ok(Claim::Unknown) => unknown += 1,
                Err(Lost) => {}
            }
            sleep(self.dice.millis(10, 200)).await;
        }
        None
    }

    async fn try_to_claim(
        &self,
        from: Ipv4Addr,
        of: EndOf,
        invite: &EndKey,
        new: &EndKey,
        asked: &mut bool,
    ) -> Result<Claim, Lost> {
        let mut conn = Conn::open(&self.world, from).await?;
        if *asked && conn.attach(of, new, WIDE).await?.is_ok() {
            return Ok(Claim::Done);
        }
        let attached = match conn.attach(of, invite, WIDE).await? {
            Ok(attached) => attached,
            Err(Refusal::Gone) => return Ok(Claim::TooLate),
            Err(Refusal::NotAllowed) => return Ok(Claim::Unknown),
            Err(Refusal::Used) if *asked => return Ok(Claim::Unknown),
            Err(Refusal::Busy | Refusal::TooFast) => return Err(Lost),
            Err(why) => panic!("an invite cannot be attached: {why:?}"),
        };
        assert!(attached.must_rekey);
        *asked = true;
        let mut events = Vec::new();
        match conn.ask(conn.rekey(&attached, of, invite, new), &mut events).await? {
            Answer::Done => Ok(Claim::Done),
            // Superseded by this device's own earlier request, or closed meanwhile.
            Answer::Refused(Refusal::Busy | Refusal::TooFast | Refusal::NotAllowed | Refusal::Gone) => Err(Lost),
            other => panic!("{other:?}"),
        }
    }
}

/// End A: talks for a while, and closes.
async fn host(device: &mut Device, closing: &Closing) {
    for _ in 0..device.dice.between(1, 3) {
        let manner = Manner::draw(&mut device.dice);
        if let Ok(mut stay) = device.arrive(WIDE).await {
            let _ = device.stay(&mut stay, manner).await;
            device.settle(stay).await;
        }
    }
    closing.begun.store(true, Ordering::SeqCst);
    device.here.lock().unwrap().purged();
    while device.gone.is_none() {
        if let Ok(stay) = device.arrive(WIDE).await
            && device.close(stay).await.is_ok()
        {
            break;
        }
        sleep(device.dice.millis(10, 100)).await;
    }
    closing.done.store(true, Ordering::SeqCst);
}

/// The other end: talks until it hears that the channel is closed, and answers that.
async fn guest(device: &mut Device, closing: &Closing) {
    while device.gone.is_none() {
        let is_done = closing.done.load(Ordering::SeqCst);
        let manner = Manner::draw(&mut device.dice);
        if let Ok(mut stay) = device.arrive(WIDE).await {
            let stayed = match is_done {
                true => device.until_closed(&mut stay).await,
                false => device.stay(&mut stay, manner).await,
            };
            if stayed.is_ok() && stay.is_closed {
                if device.close(stay).await.is_ok() {
                    return;
                }
            } else {
                device.settle(stay).await;
            }
        }
        sleep(device.dice.millis(1, 100)).await;
    }
}
