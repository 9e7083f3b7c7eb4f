-- How long each side keeps a conversation.

-- Keep: 0 always, 1 for so many years, 2 for so many days.
CREATE TABLE retention (
    contact BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    ours INTEGER NOT NULL,
    keep INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    legal_hold INTEGER NOT NULL,
    said_at INTEGER NOT NULL,
    PRIMARY KEY (contact, ours)
) STRICT;

-- A deleted message of ours that may have to be sent yet, as deleted, so that no gap stays at the other side: kind 31.
-- Further kinds: 30 a note on retention, 32 one that its sender deleted before it arrived.
CREATE INDEX messages_deleted ON messages (contact) WHERE kind = 31;

-- The clock as far as deleting trusts it, a time that it does not trust yet, and whether freed pages are still to be
-- given back.
CREATE TABLE tidying (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    trusted INTEGER NOT NULL,
    doubted INTEGER,
    purge_due INTEGER NOT NULL
) STRICT;

-- What is stored while the clock is set back counts from the last time that was trusted, else it would be deleted as if
-- it was old.
CREATE TRIGGER stored_under_a_wrong_clock AFTER INSERT ON messages
    WHEN NEW.stored_at < (SELECT trusted - 86400000 FROM tidying) BEGIN
    UPDATE messages SET stored_at = (SELECT trusted FROM tidying) WHERE id = NEW.id;
END;
