-- Version 1 of the store. Everything here is inside SQLCipher.

CREATE TABLE profile (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL,
    terms_version INTEGER NOT NULL,
    terms TEXT NOT NULL
) STRICT;

CREATE TABLE relays (
    id INTEGER PRIMARY KEY,
    address TEXT NOT NULL,
    pin BLOB,
    incarnation BLOB,
    UNIQUE (address, pin)
) STRICT;

-- State: 1 pending, 2 enrolled, 3 refused.
CREATE TABLE enrolments (
    id INTEGER PRIMARY KEY,
    relay INTEGER NOT NULL REFERENCES relays (id),
    code BLOB NOT NULL UNIQUE,
    state INTEGER NOT NULL
) STRICT;

-- An invite takes a permit along. Until the relay knows the enrolment, the row stays: every repetition of the request
-- must name the same permits.
CREATE TABLE permits (
    id INTEGER PRIMARY KEY,
    enrolment INTEGER NOT NULL REFERENCES enrolments (id),
    secret BLOB NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0
) STRICT;

-- State: 1 opening, 2 invited, 3 claiming, 4 awaiting the offer, 5 consenting, 6 joined, 7 paired, 8 ended,
-- 9 offering: open, but the offer is not at the relay yet.
CREATE TABLE contacts (
    id BLOB PRIMARY KEY,
    relay INTEGER NOT NULL REFERENCES relays (id),
    channel BLOB NOT NULL,
    end_number INTEGER NOT NULL,
    label TEXT NOT NULL,
    state INTEGER NOT NULL,
    ended INTEGER,
    close_due INTEGER NOT NULL DEFAULT 0,
    verified INTEGER NOT NULL DEFAULT 0,
    remote_invite INTEGER NOT NULL DEFAULT 0,
    invite_tried INTEGER NOT NULL DEFAULT 0,
    unopened INTEGER NOT NULL DEFAULT 0,
    locked_out INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    end_key BLOB,
    next_end_key BLOB,
    permit BLOB,
    join_within INTEGER,
    invite_secret BLOB,
    offer BLOB,
    account BLOB,
    session BLOB,
    transcript BLOB,
    psk_out BLOB,
    psk_in BLOB,
    psk_reset BLOB,
    reset_secret BLOB,
    peer_sealing BLOB,
    peer_reset BLOB,
    accept_box BLOB,
    accept_sent_at INTEGER,
    accept_resent INTEGER NOT NULL DEFAULT 0,
    out_stream BLOB NOT NULL,
    out_next INTEGER NOT NULL DEFAULT 1,
    in_stream BLOB,
    receipt_due INTEGER NOT NULL DEFAULT 0,
    UNIQUE (channel, end_number)
) STRICT;

-- Our live sealing keys, newest last: a box may come under any of them.
CREATE TABLE sealing_keys (
    id INTEGER PRIMARY KEY,
    contact BLOB NOT NULL REFERENCES contacts (id),
    secret BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE offer_parts (
    contact BLOB NOT NULL REFERENCES contacts (id),
    part INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (contact, part)
) STRICT;

-- Direction: 1 in, 2 out. Kind: 0 unknown to the version that stored it, 1 text.
-- Outcome: 1 queued, 2 accepted, 3 delivered, 4 read, 5 expired, 6 refused.
-- Place orders a conversation; a message that fills a gap takes a place before the one that showed the gap.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    contact BLOB NOT NULL REFERENCES contacts (id),
    message_id BLOB NOT NULL,
    direction INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    text TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    stream BLOB,
    number INTEGER,
    outcome INTEGER NOT NULL,
    accepted_until INTEGER,
    resent_at INTEGER,
    refused_why INTEGER,
    place REAL NOT NULL,
    UNIQUE (contact, direction, message_id)
) STRICT;
CREATE INDEX messages_in_order ON messages (contact, place, number);
CREATE INDEX messages_by_number ON messages (contact, direction, stream, number);
CREATE INDEX messages_by_name ON messages (message_id);
CREATE INDEX messages_unsettled ON messages (contact, direction, outcome) WHERE outcome IN (1, 2, 3);

-- How far each stream of the other side has come without a gap.
CREATE TABLE in_streams (
    contact BLOB NOT NULL REFERENCES contacts (id),
    stream BLOB NOT NULL,
    up_to INTEGER NOT NULL,
    PRIMARY KEY (contact, stream)
) STRICT;

-- What is to be sent, in order. Kind: 1 offer, 2 accept, 3 message, 4 receipt. Once there is a box, its bytes are
-- what every retry sends.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    contact BLOB NOT NULL REFERENCES contacts (id),
    kind INTEGER NOT NULL,
    message INTEGER REFERENCES messages (id),
    box BLOB
) STRICT;
CREATE INDEX outbox_in_order ON outbox (contact, id);

-- Which process may connect, and whether all was exchanged.
CREATE TABLE lease (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    holder BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    settled INTEGER NOT NULL
) STRICT;
