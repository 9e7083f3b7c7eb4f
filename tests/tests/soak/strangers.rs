//! Those who hold no end: rubbish on open connections, proofs that are wrong, permits that nobody gave. They get nothing.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tacit_proto::frame::{Answer, Open, Refusal, Request, Window};
use tacit_proto::{ChannelId, EndKey, EndOf, Permit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::conn::{Conn, Lost, tcp};
use super::world::{Dice, World};

/// A stranger, who knows which ends there are.
pub(crate) struct Stranger {
    pub(crate) world: Arc<World>,
    pub(crate) from: Ipv4Addr,
    pub(crate) ends: Vec<EndOf>,
    pub(crate) dice: Dice,
}

impl Stranger {
    pub(crate) async fn live(&mut self) {
        while !self.world.is_over() {
            self.world.counts.strangers.one();
            let tried = match self.dice.below(4) {
                0 => self.rubbish(b"").await,
                1 => self.rubbish(b"GET /v1 HTTP/1.1\r\nHost: relay\r\n").await,
                2 => self.guess().await,
                _ => self.open().await,
            };
            self.world.counts.turned_away.one_if(tried.is_err());
            sleep(self.dice.millis(1, 200)).await;
        }
    }

    /// Bytes of no meaning, until the relay has enough of them.
    async fn rubbish(&mut self, begin: &[u8]) -> Result<(), Lost> {
        let mut stream = tcp(&self.world, self.from).await?;
        let mut bytes = begin.to_vec();
        bytes.extend((0..self.dice.between(1, 20_000)).map(|at| at as u8 ^ self.dice.below(256) as u8));
        let _ = timeout(Duration::from_secs(2), stream.write_all(&bytes)).await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(2), stream.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP/1.1 101"), "rubbish is a handshake");
        Ok(())
    }

    /// Proofs with a key that is nobody's.
    async fn guess(&mut self) -> Result<(), Lost> {
        let mut conn = Conn::open(&self.world, self.from).await?;
        let window = Window { boxes: NonZeroU32::MIN, bytes: 1 };
        for _ in 0..self.dice.between(1, 20) {
            let of = self.ends[self.dice.below(self.ends.len() as u64) as usize];
            match conn.attach(of, &EndKey::draw(&mut super::rng()), window).await? {
                Err(Refusal::NotAllowed | Refusal::TooFast | Refusal::Busy) => {}
                other => panic!("a stranger's proof is answered {other:?}"),
            }
        }
        Ok(())
    }

    /// A channel, with a permit that nobody gave.
    async fn open(&mut self) -> Result<(), Lost> {
        let mut conn = Conn::open(&self.world, self.from).await?;
        let rng = &mut super::rng();
        let open = Open {
            channel: ChannelId::draw(rng),
            permit: Permit::draw(rng),
            key_a: EndKey::draw(rng).public(),
            key_b: EndKey::draw(rng).public(),
            join_by: NonZeroU32::MIN,
        };
        match conn.ask(Request::Open(Box::new(open)), &mut Vec::new()).await? {
            Answer::Refused(Refusal::NoPermit | Refusal::TooFast | Refusal::Busy) => Ok(()),
            other => panic!("a stranger's permit is answered {other:?}"),
        }
    }
}
