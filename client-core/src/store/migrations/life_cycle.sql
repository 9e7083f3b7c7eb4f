-- Pauses, farewells and the agreed word. State of a contact, further: 10 leaving, which is ended as far as people see; why
-- is in `ended`.

-- Since when each side pauses the conversation, and the number of its last pause or end of one.
ALTER TABLE care ADD COLUMN paused_by_us INTEGER;
ALTER TABLE care ADD COLUMN paused_by_them INTEGER;
ALTER TABLE care ADD COLUMN pauses_out INTEGER NOT NULL DEFAULT 0;
ALTER TABLE care ADD COLUMN pauses_in INTEGER NOT NULL DEFAULT 0;
-- What Argon2id makes of the agreed word.
ALTER TABLE care ADD COLUMN word_key BLOB;

-- Questions for the agreed word. State: 0 open, 1 right, 2 wrong, 3 declined, 4 answered by us.
CREATE TABLE word_questions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    contact BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    ours INTEGER NOT NULL,
    question BLOB NOT NULL,
    asked_at INTEGER NOT NULL,
    closed_at INTEGER,
    state INTEGER NOT NULL,
    UNIQUE (contact, ours, question)
) STRICT;
