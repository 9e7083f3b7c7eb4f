-- What came, as ranges of numbers. It no longer hangs on the rows of messages: some of those are deleted, and some
-- envelopes that have a number are not messages that a history shows.
--
-- The empty stream holds the positions: where a message stands among all that its sender ever sent on the channel.
-- Numbers are told apart by stream and begin anew with each reset; a message keeps its position.
CREATE TABLE received (
    contact BLOB NOT NULL REFERENCES contacts (id),
    stream BLOB NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (contact, stream, first)
) STRICT, WITHOUT ROWID;

INSERT INTO received (contact, stream, first, last)
    SELECT contact, stream, min(number), max(number) FROM (
        SELECT contact, stream, number,
            number - row_number() OVER (PARTITION BY contact, stream ORDER BY number) AS island
        FROM messages WHERE direction = 1 AND number IS NOT NULL
    ) GROUP BY contact, stream, island;
INSERT INTO received (contact, stream, first, last)
    SELECT contact, x'', first, last FROM received;
DROP TABLE in_streams;

-- What came is kept by position: the stream of such a row is empty, and its number is the position. What we sent has
-- its number in our present stream, and its position beside it.
UPDATE messages SET stream = x'' WHERE direction = 1 AND number IS NOT NULL;
ALTER TABLE messages ADD COLUMN position INTEGER;
UPDATE messages SET position = number WHERE direction = 2;

-- The stream that receipts speak of belongs to this session; how the next message is counted.
ALTER TABLE contacts ADD COLUMN in_session INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN out_position INTEGER NOT NULL DEFAULT 1;
UPDATE contacts SET out_position = out_next;

-- The longest hold that this relay promised, in seconds.
ALTER TABLE relays ADD COLUMN hold INTEGER NOT NULL DEFAULT 0;

-- Sessions are counted from 0, the pairing's; each reset begins the next one. Sealing keys belong to one, and are
-- numbered in it as they are announced.
ALTER TABLE contacts ADD COLUMN session_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN peer_sealing_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sealing_keys ADD COLUMN session INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sealing_keys ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sealing_keys ADD COLUMN announced_at INTEGER;
ALTER TABLE sealing_keys ADD COLUMN used_at INTEGER;
ALTER TABLE sealing_keys ADD COLUMN boxes INTEGER NOT NULL DEFAULT 0;
