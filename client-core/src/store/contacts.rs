//! Contacts, with the keys of their channels.

use rusqlite::{OptionalExtension, Row};
use tacit_proto::link::InviteSecret;
use tacit_proto::{ChannelId, End, EndKey, EndOf, Permit};
use zeroize::Zeroizing;

use super::{Kind, RelayId, Tx, fixed};
use crate::crypto::pairing::{ChannelSecrets, Transcript};
use crate::crypto::psk::Psk;
use crate::crypto::seal::SealingPublic;
use crate::error::StoreError;
use crate::types::{CareState, Contact, ContactState, EndedWhy, LastReset, ReadReceipts, SessionState, Timestamp};

/// Names a contact in the store.
pub(crate) type ContactKey = [u8; 16];

/// How far the pairing is, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Opening,
    /// The channel is open; the offer is not at the relay yet.
    Offering,
    Invited,
    Claiming,
    AwaitingOffer,
    Consenting,
    Joined,
    Paired,
    Ended(EndedWhy),
    /// Ended as far as people see: the farewell, or the receipt of theirs, is still to be handed over.
    Leaving(EndedWhy),
}

impl State {
    const fn numbers(self) -> (i64, Option<i64>) {
        match self {
            Self::Opening => (1, None),
            Self::Invited => (2, None),
            Self::Claiming => (3, None),
            Self::AwaitingOffer => (4, None),
            Self::Consenting => (5, None),
            Self::Joined => (6, None),
            Self::Paired => (7, None),
            Self::Ended(why) => (8, Some(why.number())),
            Self::Offering => (9, None),
            Self::Leaving(why) => (10, Some(why.number())),
        }
    }

    fn from_numbers(state: i64, ended: Option<i64>) -> rusqlite::Result<Self> {
        Ok(match state {
            1 => Self::Opening,
            2 => Self::Invited,
            3 => Self::Claiming,
            4 => Self::AwaitingOffer,
            5 => Self::Consenting,
            6 => Self::Joined,
            7 => Self::Paired,
            8 => Self::Ended(ended.and_then(EndedWhy::from_number).ok_or(rusqlite::Error::InvalidQuery)?),
            9 => Self::Offering,
            10 => Self::Leaving(ended.and_then(EndedWhy::from_number).ok_or(rusqlite::Error::InvalidQuery)?),
            _ => return Err(rusqlite::Error::InvalidQuery),
        })
    }

    /// As an app sees it.
    pub(crate) const fn public(self) -> ContactState {
        match self {
            Self::Opening | Self::Offering => ContactState::Opening,
            Self::Invited => ContactState::Invited,
            Self::Claiming | Self::AwaitingOffer => ContactState::Joining,
            Self::Consenting => ContactState::Consenting,
            Self::Joined => ContactState::Joined,
            Self::Paired => ContactState::Paired,
            Self::Ended(why) | Self::Leaving(why) => ContactState::Ended(why),
        }
    }

    /// Whether the invite may not have been used yet, as far as this device knows.
    pub(crate) const fn is_unclaimed(self) -> bool {
        matches!(self, Self::Opening | Self::Offering | Self::Invited | Self::Claiming)
    }

    /// Whether people can write.
    pub(crate) const fn can_send(self) -> bool {
        matches!(self, Self::Joined | Self::Paired)
    }

    /// Whether boxes can be sealed.
    pub(crate) const fn can_seal(self) -> bool {
        matches!(self, Self::Joined | Self::Paired | Self::Leaving(_))
    }
}

impl EndedWhy {
    const ALL: [Self; 11] = [
        Self::InviteUsed,
        Self::InviteExpired,
        Self::Unclaimed,
        Self::Declined,
        Self::ByUs,
        Self::ByPeer,
        Self::NoPermit,
        Self::BadOffer,
        Self::NotRestored,
        Self::Discharged,
        Self::DischargedByPeer,
    ];

    const fn number(self) -> i64 {
        self as i64 + 1
    }

    fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.number() == number)
    }
}

/// What a channel is, and where its pairing stands.
#[derive(Clone, Debug)]
pub(crate) struct ContactRow {
    pub(crate) key: ContactKey,
    pub(crate) relay: RelayId,
    pub(crate) of: EndOf,
    pub(crate) state: State,
    /// The channel is to be closed at the relay.
    pub(crate) close_due: bool,
    /// A receipt is owed.
    pub(crate) receipt_due: bool,
    /// How many resets there were.
    pub(crate) session: i64,
    /// The end has a next key, which the relay is still to be told.
    pub(crate) rekey_due: bool,
}

const ROW: &str = "id, relay, channel, end_number, state, ended, close_due, receipt_due, session_number,
    next_end_key IS NOT NULL";

fn contact_row(row: &Row<'_>) -> rusqlite::Result<ContactRow> {
    let channel = ChannelId::from_bytes(fixed(row.get_ref(2)?.as_blob()?)?);
    let end = End::try_from(row.get::<_, u32>(3)?).map_err(|_| rusqlite::Error::InvalidQuery)?;
    Ok(ContactRow {
        key: fixed(row.get_ref(0)?.as_blob()?)?,
        relay: row.get(1)?,
        of: EndOf { channel, end },
        state: State::from_numbers(row.get(4)?, row.get(5)?)?,
        close_due: row.get(6)?,
        receipt_due: row.get(7)?,
        session: row.get(8)?,
        rekey_due: row.get(9)?,
    })
}

/// What a new contact begins with.
pub(crate) struct NewContact<'a> {
    pub(crate) key: ContactKey,
    pub(crate) relay: RelayId,
    pub(crate) of: EndOf,
    pub(crate) label: &'a str,
    pub(crate) state: State,
    pub(crate) remote_invite: bool,
    pub(crate) now: Timestamp,
    pub(crate) end_key: Option<&'a EndKey>,
    pub(crate) next_end_key: Option<&'a EndKey>,
    pub(crate) permit: Option<&'a Permit>,
    pub(crate) join_within: Option<u32>,
    pub(crate) invite_secret: &'a InviteSecret,
    pub(crate) out_stream: [u8; 16],
}

impl Tx<'_> {
    pub(crate) fn add_contact(&self, new: &NewContact<'_>) -> Result<(), StoreError> {
        let (state, ended) = new.state.numbers();
        self.execute(
            "INSERT INTO contacts (id, relay, channel, end_number, label, state, ended, remote_invite, created_at,
                 end_key, next_end_key, permit, join_within, invite_secret, out_stream)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            rusqlite::params![
                new.key,
                new.relay,
                new.of.channel.as_bytes(),
                new.of.end.number(),
                new.label,
                state,
                ended,
                new.remote_invite,
                new.now,
                new.end_key.map(|key| *key.secret_bytes()),
                new.next_end_key.map(|key| *key.secret_bytes()),
                new.permit.map(|permit| *permit.secret_bytes()),
                new.join_within,
                new.invite_secret.secret_bytes(),
                new.out_stream,
            ],
        )?;
        Ok(())
    }

    pub(crate) fn contact(&self, key: &ContactKey) -> Result<Option<ContactRow>, StoreError> {
        self.row(&format!("SELECT {ROW} FROM contacts WHERE id = ?1"), [key], contact_row)
    }

    /// The contact that holds an end of a channel on this device.
    pub(crate) fn contact_at(&self, channel: &ChannelId) -> Result<Option<ContactRow>, StoreError> {
        self.row(&format!("SELECT {ROW} FROM contacts WHERE channel = ?1"), [channel.as_bytes()], contact_row)
    }

    /// The contacts of a relay at which something can still happen.
    pub(crate) fn live_contacts(&self, relay: RelayId) -> Result<Vec<ContactRow>, StoreError> {
        self.rows(
            &format!(
                "SELECT {ROW} FROM contacts WHERE relay = ?1 AND (state != 8 OR close_due) ORDER BY created_at, id"
            ),
            [relay],
            contact_row,
        )
    }

    pub(crate) fn set_state(&self, key: &ContactKey, state: State) -> Result<(), StoreError> {
        let (state, ended) = state.numbers();
        self.execute("UPDATE contacts SET state = ?2, ended = ?3 WHERE id = ?1", (key, state, ended))?;
        Ok(())
    }

    /// Ends a pairing: what was not sent is refused, and every key of the channel is erased, but for the end key while
    /// the relay is still to be told.
    pub(crate) fn end_contact(&self, key: &ContactKey, why: EndedWhy, close_due: bool) -> Result<(), StoreError> {
        self.set_state(key, State::Ended(why))?;
        self.execute(
            "UPDATE contacts SET close_due = ?2, permit = NULL, invite_secret = NULL, offer = NULL, account = NULL,
                 session = NULL, psk_out = NULL, psk_in = NULL, psk_reset = NULL, reset_secret = NULL,
                 peer_sealing = NULL, peer_reset = NULL, accept_box = NULL, receipt_due = 0
             WHERE id = ?1",
            (key, close_due),
        )?;
        if !close_due {
            self.forget_end_key(key)?;
        }
        self.execute("DELETE FROM sealing_keys WHERE contact = ?1", [key])?;
        self.execute("DELETE FROM offer_parts WHERE contact = ?1", [key])?;
        self.end_transfers(key)?;
        self.execute("DELETE FROM outbox WHERE contact = ?1", [key])?;
        self.forget_resets(key)?;
        self.refuse_unsent(key)
    }

    /// Erases what a device that was restored does not have: the session, and all that was sealed in it.
    pub(crate) fn forget_session(&self, row: &ContactRow) -> Result<(), StoreError> {
        self.execute(
            "UPDATE contacts SET session = NULL, psk_in = NULL, psk_out = NULL, peer_sealing = NULL, wedged = 0
             WHERE id = ?1",
            [row.key],
        )?;
        self.forget_sessions_before(&row.key, row.session + 1)?;
        self.forget_answers(&row.key)
    }

    /// The relay was told: nothing of the channel is needed any more.
    pub(crate) fn forget_end_key(&self, key: &ContactKey) -> Result<(), StoreError> {
        self.execute(
            "UPDATE contacts SET close_due = 0, end_key = NULL, next_end_key = NULL, last_end_key = NULL WHERE id = ?1",
            [key],
        )?;
        Ok(())
    }

    /// A secret column of a fixed length.
    pub(super) fn secret<const N: usize>(
        &self,
        key: &ContactKey,
        column: &str,
    ) -> Result<Option<Zeroizing<[u8; N]>>, StoreError> {
        let bytes = self.blob(key, column)?;
        let fix = |bytes: Zeroizing<Vec<u8>>| fixed(&bytes).map(Zeroizing::new);
        Ok(bytes.map(fix).transpose()?)
    }

    /// A blob column of a contact. The name is one of ours, never of a user.
    pub(crate) fn blob(&self, key: &ContactKey, column: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let read = |row: &Row<'_>| Ok(row.get::<_, Option<Vec<u8>>>(0)?.map(Zeroizing::new));
        let sql = format!("SELECT {column} FROM contacts WHERE id = ?1");
        Ok(self.transaction.prepare_cached(&sql)?.query_row([key], read).optional()?.flatten())
    }

    /// Sets or clears a blob column of a contact.
    pub(crate) fn set_blob(&self, key: &ContactKey, column: &str, bytes: Option<&[u8]>) -> Result<(), StoreError> {
        self.execute(&format!("UPDATE contacts SET {column} = ?2 WHERE id = ?1"), (key, bytes))?;
        Ok(())
    }

    pub(crate) fn end_key(&self, key: &ContactKey) -> Result<Option<EndKey>, StoreError> {
        Ok(self.secret(key, "end_key")?.map(|secret| EndKey::from_secret_bytes(*secret)))
    }

    pub(crate) fn next_end_key(&self, key: &ContactKey) -> Result<Option<EndKey>, StoreError> {
        Ok(self.secret(key, "next_end_key")?.map(|secret| EndKey::from_secret_bytes(*secret)))
    }

    /// The end is in the hands of a device that knows both of its keys: a third one takes it over. With one key only, any
    /// next one does.
    pub(crate) fn set_last_end_key(&self, key: &ContactKey, last: &EndKey) -> Result<(), StoreError> {
        self.execute(
            "UPDATE contacts SET last_end_key = ?2 WHERE id = ?1 AND next_end_key IS NOT NULL",
            (key, last.secret_bytes()),
        )?;
        Ok(())
    }

    /// The relay made the change of keys durable. There may be another one to be made.
    pub(crate) fn promote_end_key(&self, key: &ContactKey) -> Result<(), StoreError> {
        self.execute(
            "UPDATE contacts SET end_key = next_end_key, next_end_key = last_end_key, last_end_key = NULL
             WHERE id = ?1 AND next_end_key IS NOT NULL",
            [key],
        )?;
        Ok(())
    }

    pub(crate) fn invite_secret(&self, key: &ContactKey) -> Result<Option<InviteSecret>, StoreError> {
        Ok(self.secret(key, "invite_secret")?.map(|secret| InviteSecret::from_bytes(*secret)))
    }

    /// The permit and the seconds to join that a channel is opened with.
    pub(crate) fn opening(&self, key: &ContactKey) -> Result<Option<(Permit, u32)>, StoreError> {
        let Some(permit) = self.secret(key, "permit")? else { return Ok(None) };
        let join_within =
            self.row("SELECT join_within FROM contacts WHERE id = ?1", [key], |row| row.get(0))?.flatten();
        Ok(join_within.map(|seconds| (Permit::from_bytes(*permit), seconds)))
    }

    /// Keeps what the pairing yielded, and erases the invite's secret and all that served only the pairing.
    pub(crate) fn keep_secrets(
        &self,
        row: &ContactRow,
        secrets: &ChannelSecrets,
        transcript: &Transcript,
        peer_sealing: &SealingPublic,
        peer_reset: &SealingPublic,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE contacts SET psk_out = ?2, psk_in = ?3, psk_reset = ?4, transcript = ?5, peer_sealing = ?6,
                 peer_reset = ?7, invite_secret = NULL, account = NULL, offer = NULL
             WHERE id = ?1";
        let (out, back) = (secrets.sent_by(row.of.end), secrets.sent_by(row.of.end.other()));
        let (sealing, reset) = (peer_sealing.to_bytes(), peer_reset.to_bytes());
        let parameters = rusqlite::params![
            row.key,
            out.secret_bytes(),
            back.secret_bytes(),
            secrets.reset.secret_bytes(),
            transcript.as_bytes(),
            sealing,
            reset,
        ];
        self.execute(sql, parameters)?;
        Ok(())
    }

    pub(crate) fn transcript(&self, key: &ContactKey) -> Result<Option<Transcript>, StoreError> {
        Ok(self.secret(key, "transcript")?.map(|bytes| Transcript::from_bytes(*bytes)))
    }

    /// What it takes to seal to the other side.
    pub(crate) fn outward(&self, key: &ContactKey) -> Result<Option<(SealingPublic, Psk)>, StoreError> {
        let (Some(sealing), Some(psk)) = (self.blob(key, "peer_sealing")?, self.secret(key, "psk_out")?) else {
            return Ok(None);
        };
        let sealing = SealingPublic::from_bytes(&sealing).map_err(|_| StoreError::Damaged)?;
        Ok(Some((sealing, Psk::from_bytes(*psk))))
    }

    pub(crate) fn psk_in(&self, key: &ContactKey) -> Result<Option<Psk>, StoreError> {
        Ok(self.secret(key, "psk_in")?.map(|psk| Psk::from_bytes(*psk)))
    }

    /// The contacts of a relay for which something is to be sent.
    pub(crate) fn contacts_with_work(&self, relay: RelayId) -> Result<Vec<ContactRow>, StoreError> {
        let sql = format!(
            "SELECT {ROW} FROM contacts WHERE relay = ?1
                 AND (receipt_due OR close_due OR state = 10 OR EXISTS (SELECT 1 FROM outbox WHERE contact = contacts.id))"
        );
        self.rows(&sql, [relay], contact_row)
    }

    pub(crate) fn set_receipt_due(&self, key: &ContactKey, due: bool) -> Result<(), StoreError> {
        self.execute("UPDATE contacts SET receipt_due = ?2 WHERE id = ?1", (key, due))?;
        Ok(())
    }

    /// Records a box that could not be opened.
    pub(crate) fn note_unopened(&self, key: &ContactKey) -> Result<(), StoreError> {
        self.execute("UPDATE contacts SET unopened = unopened + 1 WHERE id = ?1", [key])?;
        Ok(())
    }

    /// Records whether the relay lets this device at the channel; true if that changed.
    pub(crate) fn set_locked_out(&self, key: &ContactKey, locked_out: bool) -> Result<bool, StoreError> {
        let sql = "UPDATE contacts SET locked_out = ?2 WHERE id = ?1 AND locked_out != ?2";
        Ok(self.execute(sql, (key, locked_out))? > 0)
    }

    /// Records that the used invite was tried; false if that was known.
    pub(crate) fn note_invite_tried(&self, key: &ContactKey) -> Result<bool, StoreError> {
        Ok(self.execute("UPDATE contacts SET invite_tried = 1 WHERE id = ?1 AND NOT invite_tried", [key])? > 0)
    }

    pub(crate) fn set_verified(&self, key: &ContactKey, verified: bool) -> Result<(), StoreError> {
        self.execute("UPDATE contacts SET verified = ?2 WHERE id = ?1", (key, verified))?;
        Ok(())
    }

    pub(crate) fn set_label(&self, key: &ContactKey, label: &str) -> Result<(), StoreError> {
        self.execute("UPDATE contacts SET label = ?2 WHERE id = ?1", (key, label))?;
        Ok(())
    }

    pub(crate) fn label_is_empty(&self, key: &ContactKey) -> Result<bool, StoreError> {
        Ok(self.row("SELECT label = '' FROM contacts WHERE id = ?1", [key], |row| row.get(0))?.unwrap_or(false))
    }

    /// When the accept was last sent.
    pub(crate) fn accept_sent_at(&self, key: &ContactKey) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.row("SELECT accept_sent_at FROM contacts WHERE id = ?1", [key], |row| row.get(0))?.flatten())
    }

    /// Puts the accept into the outbox again.
    pub(crate) fn resend_accept(&self, key: &ContactKey) -> Result<(), StoreError> {
        let Some(sealed) = self.blob(key, "accept_box")? else { return Ok(()) };
        self.execute("UPDATE contacts SET accept_resent = 1 WHERE id = ?1", [key])?;
        self.enqueue(key, Kind::Accept, None, Some(&sealed))
    }

    pub(crate) fn accept_was_resent(&self, key: &ContactKey) -> Result<bool, StoreError> {
        Ok(self.row("SELECT accept_resent FROM contacts WHERE id = ?1", [key], |row| row.get(0))?.unwrap_or(false))
    }

    pub(crate) fn note_accept_sent(&self, key: &ContactKey, now: Timestamp) -> Result<(), StoreError> {
        self.execute("UPDATE contacts SET accept_sent_at = ?2 WHERE id = ?1", (key, now))?;
        Ok(())
    }

    pub(crate) fn add_offer_part(&self, key: &ContactKey, part: u8, bytes: &[u8]) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO offer_parts (contact, part, bytes) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            (key, part, bytes),
        )?;
        Ok(())
    }

    /// The offer's parts so far, in order, each with its number.
    pub(crate) fn offer_parts(&self, key: &ContactKey) -> Result<Vec<(u8, Vec<u8>)>, StoreError> {
        self.rows("SELECT part, bytes FROM offer_parts WHERE contact = ?1 ORDER BY part", [key], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
    }

    pub(crate) fn forget_offer_parts(&self, key: &ContactKey) -> Result<(), StoreError> {
        self.execute("DELETE FROM offer_parts WHERE contact = ?1", [key])?;
        Ok(())
    }

    /// Takes the next number of our stream.
    pub(crate) fn next_number(&self, key: &ContactKey) -> Result<([u8; 16], u64), StoreError> {
        let taken = self.row("SELECT out_stream, out_next FROM contacts WHERE id = ?1", [key], |row| {
            Ok((fixed(row.get_ref(0)?.as_blob()?)?, row.get(1)?))
        })?;
        self.execute("UPDATE contacts SET out_next = out_next + 1 WHERE id = ?1", [key])?;
        taken.ok_or(StoreError::Damaged)
    }

    /// Takes the next of our positions.
    pub(crate) fn next_position(&self, key: &ContactKey) -> Result<u64, StoreError> {
        self.row(
            "UPDATE contacts SET out_position = out_position + 1 WHERE id = ?1 RETURNING out_position - 1",
            [key],
            |row| row.get(0),
        )?
        .ok_or(StoreError::Damaged)
    }

    /// Our next message stands behind this position.
    pub(crate) fn skip_positions(&self, key: &ContactKey, highest: u64) -> Result<(), StoreError> {
        self.execute("UPDATE contacts SET out_position = max(out_position, ?2 + 1) WHERE id = ?1", (key, highest))?;
        Ok(())
    }

    pub(crate) fn out_stream(&self, key: &ContactKey) -> Result<[u8; 16], StoreError> {
        self.row("SELECT out_stream FROM contacts WHERE id = ?1", [key], |row| fixed(row.get_ref(0)?.as_blob()?))?
            .ok_or(StoreError::Damaged)
    }

    pub(crate) fn contact_keys(&self) -> Result<Vec<ContactKey>, StoreError> {
        self.rows("SELECT id FROM contacts ORDER BY created_at, id", [], |row| fixed(row.get_ref(0)?.as_blob()?))
    }

    /// All contacts as an app sees them, the most recently active first.
    pub(crate) fn contacts(&self) -> Result<Vec<Contact>, StoreError> {
        self.rows(&format!("{PUBLIC} ORDER BY last_activity DESC, contacts.id"), [], public)
    }

    /// One contact as an app sees it.
    pub(crate) fn public_contact(&self, key: &ContactKey) -> Result<Option<Contact>, StoreError> {
        self.row(&format!("{PUBLIC} WHERE contacts.id = ?1"), [key], public)
    }
}

/// `oldest_unread` believes a sender's clock as far as the longest hold, 90 days.
const PUBLIC: &str = "SELECT id, label, state, ended, verified, remote_invite, invite_tried, unopened, locked_out,
    (SELECT count(*) FROM messages INDEXED BY messages_unread
        WHERE contact = contacts.id AND direction = 1 AND outcome = 3
        AND kind NOT BETWEEN 30 AND 69),
    (SELECT coalesce(max(last) - sum(last - first + 1), 0) FROM received
        WHERE contact = contacts.id AND stream = in_stream),
    max(created_at, coalesce((SELECT max(stored_at) FROM messages WHERE contact = contacts.id), 0)) AS last_activity,
    EXISTS (SELECT 1 FROM care WHERE contact = contacts.id) AND state IN (6, 7) AND CASE end_number
        WHEN 1 THEN coalesce((SELECT max(version) FROM own_statements WHERE kind = 3), 0)
            > coalesce((SELECT max(version) FROM statements WHERE contact = contacts.id AND kind = 4 AND NOT ours), 0)
        ELSE coalesce((SELECT max(version) FROM statements WHERE contact = contacts.id AND kind = 3 AND NOT ours), 0)
            > coalesce((SELECT max(version) FROM statements WHERE contact = contacts.id AND kind = 4 AND ours), 0)
        END,
    (SELECT min(max(min(sent_at, stored_at), stored_at - 7776000000))
        FROM messages INDEXED BY messages_unread WHERE contact = contacts.id AND direction = 1 AND outcome = 3 AND kind NOT BETWEEN 30 AND 69),
    coalesce((SELECT always FROM notified WHERE contact = contacts.id), 0),
    (SELECT paused_by_us FROM care WHERE contact = contacts.id),
    (SELECT paused_by_them FROM care WHERE contact = contacts.id),
    EXISTS (SELECT 1 FROM word_questions WHERE contact = contacts.id AND NOT ours AND word_questions.state = 0),
    end_number = 2,
    wedged, EXISTS (SELECT 1 FROM resets WHERE contact = contacts.id), reset_at, reset_by_peer, tells_reads,
    peer_tells_reads,
    (SELECT count(*) FROM messages INDEXED BY messages_unread
        WHERE contact = contacts.id AND direction = 1 AND outcome = 3
        AND kind BETWEEN 30 AND 69 AND kind NOT IN (31, 40, 60, 61))
    FROM contacts";

fn public(row: &Row<'_>) -> rusqlite::Result<Contact> {
    Ok(Contact {
        id: hex::encode(row.get_ref(0)?.as_blob()?),
        label: row.get(1)?,
        state: State::from_numbers(row.get(2)?, row.get(3)?)?.public(),
        verified: row.get(4)?,
        remote_invite: row.get(5)?,
        invite_tried: row.get(6)?,
        unopened: row.get(7)?,
        locked_out: row.get(8)?,
        unread: row.get(9)?,
        missing: row.get::<_, i64>(10)?.max(0).unsigned_abs(),
        last_activity: row.get(11)?,
        care: CareState {
            terms_waiting: row.get(12)?,
            oldest_unread: row.get(13)?,
            always_notify: row.get(14)?,
            paused_by_us: row.get(15)?,
            paused_by_them: row.get(16)?,
            word_asked: row.get(17)?,
            is_practice: row.get(18)?,
            unread_notes: row.get(25)?,
        },
        session: SessionState {
            wedged: row.get(19)?,
            resetting: row.get(20)?,
            last_reset: match row.get(21)? {
                Some(at) => Some(LastReset { at, by_peer: row.get(22)? }),
                None => None,
            },
        },
        read_receipts: ReadReceipts { ours: row.get(23)?, theirs: row.get(24)? },
    })
}
