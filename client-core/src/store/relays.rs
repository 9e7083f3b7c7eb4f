//! Relays, enrolments, permits, and how this side calls itself.

use tacit_proto::link::{EnrolmentLink, RelayPlace};
use tacit_proto::{EnrolCode, Incarnation, Permit};

use super::{Tx, fixed};
use crate::error::StoreError;
use crate::types::{Enrolment, EnrolmentState};

/// Names a relay in this store.
pub(crate) type RelayId = i64;

/// A relay that this device deals with.
#[derive(Clone, Debug)]
pub(crate) struct RelayRow {
    pub(crate) id: RelayId,
    pub(crate) place: RelayPlace,
}

/// An enrolment that the relay is still to be told of.
pub(crate) struct PendingEnrolment {
    pub(crate) id: i64,
    pub(crate) code: EnrolCode,
    pub(crate) permits: Vec<Permit>,
}

const PENDING: i64 = 1;
const ENROLLED: i64 = 2;
const REFUSED: i64 = 3;

fn place(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<RelayPlace> {
    let address = row.get_ref(at)?.as_str()?.parse().map_err(|_| rusqlite::Error::InvalidQuery)?;
    let pin = row.get_ref(at + 1)?.as_blob_or_null()?.map(fixed).transpose()?;
    Ok(RelayPlace { address, pin: pin.map(tacit_proto::link::Pin::from_bytes) })
}

impl Tx<'_> {
    /// The relay of this place, known or new.
    pub(crate) fn relay(&self, place: &RelayPlace) -> Result<RelayId, StoreError> {
        let (address, pin) = (place.address.as_str(), place.pin.as_ref().map(|pin| *pin.as_bytes()));
        let known =
            self.row("SELECT id FROM relays WHERE address = ?1 AND pin IS ?2", (address, pin), |row| row.get(0))?;
        if let Some(id) = known {
            return Ok(id);
        }
        self.execute("INSERT INTO relays (address, pin) VALUES (?1, ?2)", (address, pin))?;
        Ok(self.transaction.last_insert_rowid())
    }

    pub(crate) fn relay_place(&self, relay: RelayId) -> Result<RelayPlace, StoreError> {
        self.row("SELECT address, pin FROM relays WHERE id = ?1", [relay], |row| place(row, 0))?
            .ok_or(StoreError::Damaged)
    }

    /// The relays at which something is to be done: a live channel, or a pending enrolment.
    pub(crate) fn relays_in_use(&self) -> Result<Vec<RelayRow>, StoreError> {
        self.rows(
            "SELECT id, address, pin FROM relays WHERE
                 EXISTS (SELECT 1 FROM contacts WHERE relay = relays.id AND (state != 8 OR close_due))
                 OR EXISTS (SELECT 1 FROM enrolments WHERE relay = relays.id AND state = 1)
             ORDER BY id",
            [],
            |row| Ok(RelayRow { id: row.get(0)?, place: place(row, 1)? }),
        )
    }

    /// Remembers a relay's incarnation; true if it differs from one remembered before.
    pub(crate) fn note_incarnation(&self, relay: RelayId, now: &Incarnation) -> Result<bool, StoreError> {
        let before = self
            .row("SELECT incarnation FROM relays WHERE id = ?1", [relay], |row| {
                row.get_ref(0)?.as_blob_or_null()?.map(fixed).transpose()
            })?
            .flatten()
            .map(Incarnation::from_bytes);
        if before.as_ref() != Some(now) {
            self.execute("UPDATE relays SET incarnation = ?2 WHERE id = ?1", (relay, now.as_bytes()))?;
        }
        Ok(before.is_some_and(|before| before != *now))
    }

    /// Remembers the longest hold that a relay promised.
    pub(crate) fn note_hold(&self, relay: RelayId, hold: u32) -> Result<(), StoreError> {
        self.execute("UPDATE relays SET hold = ?2 WHERE id = ?1 AND hold < ?2", (relay, hold))?;
        Ok(())
    }

    pub(crate) fn longest_hold_ms(&self, relay: RelayId) -> Result<u64, StoreError> {
        let hold: Option<u64> = self.row("SELECT hold FROM relays WHERE id = ?1", [relay], |row| row.get(0))?;
        Ok(hold.unwrap_or(0) * 1_000)
    }

    /// Keeps an enrolment and the permits drawn for it, before the relay is asked. False if this link was kept before.
    pub(crate) fn add_enrolment(&self, link: &EnrolmentLink, permits: &[Permit]) -> Result<bool, StoreError> {
        let relay = self.relay(&link.relay)?;
        let added = self.execute(
            "INSERT INTO enrolments (relay, code, state) VALUES (?1, ?2, ?3) ON CONFLICT (code) DO NOTHING",
            (relay, link.code.secret_bytes(), PENDING),
        )?;
        if added == 0 {
            return Ok(false);
        }
        let enrolment = self.transaction.last_insert_rowid();
        for permit in permits {
            self.execute(
                "INSERT INTO permits (enrolment, secret) VALUES (?1, ?2)",
                (enrolment, permit.secret_bytes()),
            )?;
        }
        Ok(true)
    }

    pub(crate) fn pending_enrolments(&self, relay: RelayId) -> Result<Vec<PendingEnrolment>, StoreError> {
        let pending = self.rows(
            "SELECT id, code FROM enrolments WHERE relay = ?1 AND state = ?2 ORDER BY id",
            (relay, PENDING),
            |row| Ok((row.get::<_, i64>(0)?, fixed(row.get_ref(1)?.as_blob()?)?)),
        )?;
        pending
            .into_iter()
            .map(|(id, code)| {
                let permits =
                    self.rows("SELECT secret FROM permits WHERE enrolment = ?1 ORDER BY id", [id], |row| {
                        Ok(Permit::from_bytes(fixed(row.get_ref(0)?.as_blob()?)?))
                    })?;
                Ok(PendingEnrolment { id, code: EnrolCode::from_bytes(code), permits })
            })
            .collect()
    }

    pub(crate) fn settle_enrolment(&self, id: i64, enrolled: bool) -> Result<(), StoreError> {
        let state = if enrolled { ENROLLED } else { REFUSED };
        self.execute("UPDATE enrolments SET state = ?2 WHERE id = ?1", (id, state))?;
        self.execute("DELETE FROM permits WHERE enrolment = ?1 AND (taken OR NOT ?2)", (id, enrolled))?;
        Ok(())
    }

    pub(crate) fn enrolments(&self) -> Result<Vec<Enrolment>, StoreError> {
        self.rows(
            "SELECT relays.address, state, (SELECT count(*) FROM permits WHERE enrolment = enrolments.id AND NOT taken)
             FROM enrolments JOIN relays ON relays.id = relay ORDER BY enrolments.id",
            [],
            |row| {
                let state = match row.get(1)? {
                    PENDING => EnrolmentState::Pending,
                    ENROLLED => EnrolmentState::Enrolled,
                    _ => EnrolmentState::Refused,
                };
                Ok(Enrolment { relay: row.get(0)?, state, permits_left: row.get(2)? })
            },
        )
    }

    /// Takes the oldest permit that is not known to be refused.
    pub(crate) fn take_permit(&self) -> Result<Option<(RelayId, Permit)>, StoreError> {
        let taken = self.row(
            "SELECT permits.id, relay, secret FROM permits JOIN enrolments ON enrolments.id = enrolment
             WHERE state != ?1 AND NOT taken ORDER BY state DESC, permits.id LIMIT 1",
            [REFUSED],
            |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, fixed(row.get_ref(2)?.as_blob()?)?)),
        )?;
        let Some((id, relay, secret)) = taken else { return Ok(None) };
        self.execute("UPDATE permits SET taken = 1 WHERE id = ?1", [id])?;
        self.execute(
            "DELETE FROM permits WHERE id = ?1 AND enrolment IN (SELECT id FROM enrolments WHERE state = ?2)",
            (id, ENROLLED),
        )?;
        Ok(Some((relay, Permit::from_bytes(secret))))
    }

    /// How this side calls itself, and the terms to begin with: another enrolment leaves them as they are.
    pub(crate) fn set_profile(&self, name: &str, terms_version: u32, terms: &str) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO profile (one, name, terms_version, terms) VALUES (1, ?1, ?2, ?3)
             ON CONFLICT (one) DO UPDATE SET name = ?1",
            (name, terms_version, terms),
        )?;
        Ok(())
    }

    /// Name, version of the terms, terms.
    pub(crate) fn profile(&self) -> Result<Option<(String, u32, String)>, StoreError> {
        self.row("SELECT name, terms_version, terms FROM profile", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
    }
}
