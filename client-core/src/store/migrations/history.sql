-- What a long history needs: a search by words, and indices for what is asked of it often.

-- The texts that can be searched, each with its contact as a word, so that a search in one conversation never looks at
-- the others.
CREATE VIEW searchable AS SELECT id, hex(contact) AS contact, text FROM messages WHERE kind = 1;

-- The index keeps no texts, and with secure-delete nothing of the words of a deleted one.
CREATE VIRTUAL TABLE search USING fts5 (
    contact, text,
    content = 'searchable', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
INSERT INTO search (search, rank) VALUES ('secure-delete', 1);
INSERT INTO search (search) VALUES ('rebuild');

CREATE TRIGGER search_added AFTER INSERT ON messages WHEN NEW.kind = 1 BEGIN
    INSERT INTO search (rowid, contact, text) VALUES (NEW.id, hex(NEW.contact), NEW.text);
END;
CREATE TRIGGER search_removed AFTER DELETE ON messages WHEN OLD.kind = 1 BEGIN
    INSERT INTO search (search, rowid, contact, text) VALUES ('delete', OLD.id, hex(OLD.contact), OLD.text);
END;
CREATE TRIGGER search_changed AFTER UPDATE OF kind, text ON messages BEGIN
    INSERT INTO search (search, rowid, contact, text)
        SELECT 'delete', OLD.id, hex(OLD.contact), OLD.text WHERE OLD.kind = 1;
    INSERT INTO search (rowid, contact, text) SELECT NEW.id, hex(NEW.contact), NEW.text WHERE NEW.kind = 1;
END;

-- What a receipt, an expiry or a resend can concern, and what is unread: a few rows of a hundred thousand. Statements must
-- say the conditions in these very words.
CREATE INDEX messages_open ON messages (contact, stream, number) WHERE direction = 2 AND outcome IN (1, 2, 5);
CREATE INDEX messages_unread ON messages (contact) WHERE direction = 1 AND outcome = 3;
CREATE INDEX messages_by_arrival ON messages (contact, stored_at);
CREATE INDEX outbox_by_message ON outbox (message);
DROP INDEX messages_unsettled;
