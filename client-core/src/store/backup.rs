//! What of the store goes into a backup, and back out of one.
//!
//! A backup holds rows, as the store had them, with the store's version: they are put into a store of that version, which
//! is then moved on like any old store. So old backups are readable for as long as old stores are.

use std::fs;
use std::path::Path;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, params_from_iter};

use super::{Key, Store, Tx, io_error, key_file, migrations, open_error, restrict, sync_folder};
use crate::content::MAX_NUMBER;
use crate::error::{OpenError, StoreError};
use crate::types::Timestamp;

/// What a backup keeps, in an order in which rows can be put back. What is not here is left out: above all sealing
/// secrets and ratchet state, without which a stolen backup opens no recorded box; what a relay is still to be handed,
/// which is made anew; and what only this device's files need. A test holds this and [`LEFT_OUT`] to be all there is.
const KEPT: &[(&str, &[&str])] = &[
    ("profile", &["one", "name", "terms_version", "terms"]),
    ("relays", &["id", "address", "pin", "incarnation", "hold"]),
    ("enrolments", &["id", "relay", "code", "state"]),
    ("permits", &["id", "enrolment", "secret", "taken"]),
    (
        "contacts",
        &[
            "id",
            "relay",
            "channel",
            "end_number",
            "label",
            "state",
            "ended",
            "close_due",
            "remote_invite",
            "invite_tried",
            "created_at",
            "end_key",
            "next_end_key",
            "psk_reset",
            "reset_secret",
            "peer_reset",
            "accept_box",
            "accept_sent_at",
            "out_stream",
            "out_next",
            "out_position",
            "in_stream",
            "in_session",
            "session_number",
            "tells_reads",
            "peer_tells_reads",
        ],
    ),
    (
        "messages",
        &[
            "id",
            "contact",
            "message_id",
            "direction",
            "kind",
            "text",
            "sent_at",
            "stored_at",
            "stream",
            "number",
            "position",
            "outcome",
            "accepted_until",
            "refused_why",
            "place",
            "reply_to",
            "about",
            "edited",
            "withdrawn",
        ],
    ),
    ("message_bodies", &["message", "body"]),
    ("earlier_texts", &["id", "message", "text"]),
    ("received", &["contact", "stream", "first", "last"]),
    ("reset_ids", &["contact", "id", "ours", "at"]),
    ("practice", &["one", "signing_secret", "versions_from"]),
    ("own_statements", &["kind", "version", "statement"]),
    (
        "care",
        &[
            "contact",
            "pairing",
            "signing_secret",
            "peer_key",
            "paused_by_us",
            "paused_by_them",
            "pauses_out",
            "pauses_in",
            "word_key",
        ],
    ),
    ("word_questions", &["id", "contact", "ours", "question", "asked_at", "closed_at", "state"]),
    ("statements", &["contact", "ours", "kind", "version", "kept_at", "statement"]),
    ("statement_parts", &["id", "contact", "digest", "part", "count", "bytes"]),
    ("notifying", &["one", "words", "showing", "quiet", "zone"]),
    ("network", &["one", "proxy", "separate"]),
    ("quiet_hours", &["day", "from_minute", "until_minute"]),
    ("notified", &["contact", "always", "up_to"]),
    ("retention", &["contact", "ours", "keep", "amount", "legal_hold", "said_at"]),
    (
        "transfers",
        &[
            "key",
            "conversation",
            "ours",
            "transfer",
            "message",
            "state",
            "name",
            "media_type",
            "size",
            "digest",
            "duration_ms",
            "done",
            "here",
            "told",
            "there",
            "moved_at",
            "stalls",
            "unconfirmed",
        ],
    ),
    ("thumbnails", &["file", "bytes"]),
    ("chunks", &["id", "file", "number", "bytes"]),
    ("attachment_limit", &["one", "bytes"]),
];

/// What is left out, for the test: a column, or with `*` a whole table.
#[cfg(test)]
const LEFT_OUT: &[(&str, &[&str])] = &[
    // Sealing secrets, ratchet state, and the secrets of messages.
    ("sealing_keys", &["*"]),
    ("old_sessions", &["*"]),
    ("resets", &["*"]),
    ("reset_ids", &["answer", "repeated"]),
    ("contacts", &["account", "session", "psk_out", "psk_in", "peer_sealing", "peer_sealing_number"]),
    // Of a restore that has not taken this end over: the one from this backup does it anew.
    ("contacts", &["last_end_key"]),
    // What only served a pairing that is not complete: it cannot be gone on with.
    ("contacts", &["permit", "join_within", "invite_secret", "offer"]),
    ("offer_parts", &["*"]),
    // Of the session before, or of the device that is lost.
    (
        "contacts",
        &[
            "transcript",
            "verified",
            "unopened",
            "locked_out",
            "accept_resent",
            "receipt_due",
            "wedged",
            "reset_at",
            "reset_by_peer",
        ],
    ),
    ("messages", &["resent_at"]),
    ("outbox", &["*"]),
    ("chunks_under_way", &["*"]),
    ("statuses_due", &["*"]),
    ("lease", &["*"]),
    ("tidying", &["*"]),
];

/// Something of a store on its way into a backup.
pub(crate) enum Kept<'a> {
    /// The rows that follow are of this table, and have these columns.
    Table(&'a str, &'a [&'a str]),
    Row(Vec<ValueRef<'a>>),
}

impl Tx<'_> {
    /// Hands out everything that a backup keeps, a row at a time.
    pub(crate) fn each_kept<E: From<StoreError>>(
        &self,
        mut keep: impl FnMut(Kept<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (table, columns) in KEPT {
            keep(Kept::Table(table, columns))?;
            let sql = format!("SELECT {} FROM {table}", columns.join(", "));
            let mut statement = self.transaction.prepare(&sql).map_err(StoreError::from)?;
            let mut rows = statement.query([]).map_err(StoreError::from)?;
            while let Some(row) = rows.next().map_err(StoreError::from)? {
                let values = (0..columns.len()).map(|column| row.get_ref(column)).collect::<rusqlite::Result<_>>();
                keep(Kept::Row(values.map_err(StoreError::from)?))?;
            }
        }
        Ok(())
    }
}

/// The version of this code's stores, for a backup.
pub(crate) const VERSION: u32 = migrations::VERSION;

/// A store that is being put together from a backup.
pub(crate) struct Restoring {
    connection: Connection,
    insert: String,
}

impl Restoring {
    /// A new store of an earlier version.
    pub(crate) fn begin(home: &Path, key: &Key, version: u32) -> Result<Self, OpenError> {
        if version > VERSION {
            return Err(OpenError::NewerFormat);
        }
        let mut connection = Store::connect(home, key)?;
        migrations::up_to(&mut connection, version)?;
        connection.execute_batch("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE").map_err(open_error)?;
        Ok(Self { connection, insert: String::new() })
    }

    /// The rows that follow are of this table.
    pub(crate) fn table(&mut self, name: &str, columns: &[String]) -> Result<(), OpenError> {
        // What is not a name of ours is no SQL of ours either.
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
        let is_table = is_name(name) && !name.starts_with("sqlite") && !name.starts_with("search");
        if !is_table || columns.is_empty() || !columns.iter().all(|column| is_name(column)) {
            return Err(OpenError::Damaged);
        }
        let places: Vec<_> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
        self.insert = format!("INSERT INTO {name} ({}) VALUES ({})", columns.join(", "), places.join(", "));
        // A table or column that there never was shows here.
        self.connection.prepare_cached(&self.insert).map(drop).map_err(|_| OpenError::Damaged)
    }

    pub(crate) fn row(&mut self, values: Vec<Value>) -> Result<(), OpenError> {
        let mut insert = self.connection.prepare_cached(&self.insert).map_err(open_error)?;
        insert.execute(params_from_iter(values)).map_err(|error| match error.sqlite_error_code() {
            // Too few values, or some that the table does not take.
            None | Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => OpenError::Damaged,
            _ => open_error(error),
        })?;
        Ok(())
    }

    /// Everything is there: the store is moved on to this version. Deleting trusts the time at which the backup was made,
    /// and not whatever the clock of a new machine says first.
    pub(crate) fn finish(self, made_at: Timestamp) -> Result<(), OpenError> {
        let Self { mut connection, .. } = self;
        connection.execute_batch("COMMIT").map_err(open_error)?;
        let dangling = connection.prepare("PRAGMA foreign_key_check").and_then(|mut check| check.exists([]));
        if dangling.map_err(open_error)? {
            return Err(OpenError::Damaged);
        }
        migrations::migrate(&mut connection)?;
        let trust = "INSERT INTO tidying (one, trusted, purge_due) VALUES (1, ?1, 0)
            ON CONFLICT (one) DO UPDATE SET trusted = ?1, doubted = NULL";
        connection.execute(trust, [made_at.min(MAX_NUMBER)]).map_err(open_error)?;
        Ok(())
    }
}

/// Puts a home that is whole, and not open, into its place. The key goes last: a home is there once its key is.
pub(crate) fn move_home(from: &Path, to: &Path) -> Result<(), OpenError> {
    restrict(to)?;
    for name in [super::FILE, key_file::FILE] {
        fs::rename(from.join(name), to.join(name)).map_err(io_error)?;
        sync_folder(to)?;
    }
    // Nothing in it is of use any more.
    fs::remove_dir_all(from).map_err(io_error)
}

#[cfg(test)]
mod tests;
