-- What groups and owners had used by their shares at a moment: one row, replaced every minute.
CREATE TABLE levels (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    at     REAL NOT NULL,
    levels TEXT NOT NULL  -- an object: path to level
);
