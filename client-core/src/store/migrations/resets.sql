-- Sessions that may still bring something: until the other side is seen to use the newest one.
CREATE TABLE old_sessions (
    contact BLOB NOT NULL REFERENCES contacts (id),
    session INTEGER NOT NULL,
    pickle BLOB NOT NULL,
    psk_in BLOB NOT NULL,
    PRIMARY KEY (contact, session)
) STRICT;

-- A reset that we asked for, until it is answered: what was sent, and what the answer is taken with.
CREATE TABLE resets (
    contact BLOB PRIMARY KEY REFERENCES contacts (id),
    id BLOB NOT NULL,
    request BLOB NOT NULL,
    box BLOB NOT NULL,
    account BLOB NOT NULL,
    sealing_secret BLOB NOT NULL,
    sent_at INTEGER,
    crossed INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Every reset there ever was: none is accepted twice. The answer to one of the other side's is kept until it is used.
CREATE TABLE reset_ids (
    contact BLOB NOT NULL REFERENCES contacts (id),
    id BLOB NOT NULL,
    ours INTEGER NOT NULL,
    at INTEGER NOT NULL,
    answer BLOB,
    repeated INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (contact, id)
) STRICT;

-- What people see of it.
ALTER TABLE contacts ADD COLUMN wedged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN reset_at INTEGER;
ALTER TABLE contacts ADD COLUMN reset_by_peer INTEGER NOT NULL DEFAULT 0;

-- Whether each side tells what was read: only if both do.
ALTER TABLE contacts ADD COLUMN tells_reads INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN peer_tells_reads INTEGER NOT NULL DEFAULT 0;
