-- Files on their way, both ways. They are kept in here and nowhere else, so that they are encrypted, and gone when deleted.
-- Messages of kind 70 announce one.

-- State: 0 being copied in, 1 under way, 2 whole, 3 cancelled here, 4 cancelled there, 5 too large for the recipient,
-- 6 no room at the recipient, 7 damaged, 8 the pairing ended.
CREATE TABLE transfers (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation BLOB NOT NULL REFERENCES contacts (id),
    ours INTEGER NOT NULL,
    transfer BLOB NOT NULL,
    message INTEGER UNIQUE REFERENCES messages (id) ON DELETE CASCADE,
    state INTEGER NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    digest BLOB NOT NULL,
    duration_ms INTEGER,
    -- Bytes that are at the recipient: here, or as far as it told.
    done INTEGER NOT NULL DEFAULT 0,
    -- Of theirs: chunks that are here, and as many as the sender was told of.
    here INTEGER NOT NULL DEFAULT 0,
    told INTEGER NOT NULL DEFAULT 0,
    -- Of ours: what the recipient has, as it last told.
    there BLOB,
    -- When it last went forward, and how often it was asked about since.
    moved_at INTEGER NOT NULL,
    stalls INTEGER NOT NULL DEFAULT 0,
    -- Of ours: it was cancelled, and the recipient did not say yet that it knows.
    unconfirmed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (conversation, ours, transfer)
) STRICT;
CREATE INDEX transfers_under_way ON transfers (conversation, ours) WHERE state = 1 OR unconfirmed = 1;

CREATE TABLE thumbnails (
    file INTEGER PRIMARY KEY REFERENCES transfers (key) ON DELETE CASCADE,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    file INTEGER NOT NULL REFERENCES transfers (key) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (file, number)
) STRICT;

-- Chunks of ours that were sealed, in that order, and that the recipient did not tell of yet.
CREATE TABLE chunks_under_way (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    file INTEGER NOT NULL REFERENCES transfers (key) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    outbox INTEGER NOT NULL,
    sealed_at INTEGER NOT NULL,
    UNIQUE (file, number)
) STRICT;

-- Transfers of which the other side is to be told how they stand.
CREATE TABLE statuses_due (
    contact BLOB NOT NULL REFERENCES contacts (id),
    transfer BLOB NOT NULL,
    ours INTEGER NOT NULL,
    stalled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (contact, transfer, ours)
) STRICT, WITHOUT ROWID;

-- The largest file that this device takes, in bytes.
CREATE TABLE attachment_limit (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    bytes INTEGER NOT NULL
) STRICT;
