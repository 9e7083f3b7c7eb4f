-- Replies, edits and withdrawals. Further kinds of messages: 60 an edit, 61 a withdrawal, which are about another one of
-- their sender and show nothing themselves. An edit that came keeps its text until the message is here that it is about.
ALTER TABLE messages ADD COLUMN reply_to BLOB;
ALTER TABLE messages ADD COLUMN about BLOB;
-- The position of the edit that the text is of; of a message of ours, 1 if it was edited.
ALTER TABLE messages ADD COLUMN edited INTEGER;
-- The sender withdrew it, and our own rule keeps it.
ALTER TABLE messages ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;
CREATE INDEX messages_about ON messages (contact, direction, about) WHERE about IS NOT NULL;

-- What a message said before an edit, where our own rule keeps it.
CREATE TABLE earlier_texts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX earlier_texts_of ON earlier_texts (message);
