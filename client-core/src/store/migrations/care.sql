-- What therapy needs: statements and the keys that sign them, and what a message of ours says besides text.

-- The key of this device's own statements, as a practice.
CREATE TABLE practice (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    signing_secret BLOB NOT NULL
) STRICT;

-- This device's own statements, as a practice: of cards the newest; of terms every version, since consent names them.
-- Kind: 1 practice card, 2 crisis card, 3 terms, 4 consent, 5 farewell.
CREATE TABLE own_statements (
    kind INTEGER NOT NULL,
    version INTEGER NOT NULL,
    statement BLOB NOT NULL,
    PRIMARY KEY (kind, version)
) STRICT;

-- What a pairing has to do with statements. End A signs with the practice's key, end B with one of this pairing alone.
CREATE TABLE care (
    contact BLOB PRIMARY KEY REFERENCES contacts (id) ON DELETE CASCADE,
    pairing BLOB NOT NULL,
    signing_secret BLOB,
    peer_key BLOB NOT NULL
) STRICT;

-- Statements of a pairing: theirs, and ours that are no practice's.
CREATE TABLE statements (
    contact BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    ours INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    version INTEGER NOT NULL,
    kept_at INTEGER NOT NULL,
    statement BLOB NOT NULL,
    PRIMARY KEY (contact, ours, kind, version)
) STRICT;

-- Parts of statements that are not complete yet.
CREATE TABLE statement_parts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    contact BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    digest BLOB NOT NULL,
    part INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (contact, digest, part)
) STRICT;

-- What a message of ours says, if that is no text. Further kinds of messages: 40 nothing to be shown, 41 to 69 notes.
CREATE TABLE message_bodies (
    message INTEGER PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
    body BLOB NOT NULL
) STRICT;

-- Once it is delivered, nobody asks for it again.
CREATE TRIGGER delivered_bodies AFTER UPDATE OF outcome ON messages WHEN NEW.outcome = 3 BEGIN
    DELETE FROM message_bodies WHERE message = NEW.id;
END;

-- How the owner of the device is notified. Showing: 0 nothing, 1 the label, 2 label and text. Quiet: 0 never, 1 outside
-- of office hours, 2 outside of the hours in quiet_hours.
CREATE TABLE notifying (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    words TEXT NOT NULL,
    showing INTEGER NOT NULL,
    quiet INTEGER NOT NULL,
    zone TEXT NOT NULL
) STRICT;
CREATE TABLE quiet_hours (
    day INTEGER NOT NULL,
    from_minute INTEGER NOT NULL,
    until_minute INTEGER NOT NULL
) STRICT;

-- Up to which message the owner was notified, and whether they want to be in quiet hours too.
CREATE TABLE notified (
    contact BLOB PRIMARY KEY REFERENCES contacts (id) ON DELETE CASCADE,
    always INTEGER NOT NULL,
    up_to INTEGER NOT NULL
) STRICT;
