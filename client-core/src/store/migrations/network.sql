-- How relays are reached.
CREATE TABLE network (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    proxy TEXT,
    separate INTEGER NOT NULL
) STRICT;
