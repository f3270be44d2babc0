-- Actions on jobs that came under a key, for as long as a copy of one may still arrive.
CREATE TABLE action (
    action_id INTEGER PRIMARY KEY,
    community TEXT NOT NULL,  -- of the token; empty: it names none
    issuer    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    key       TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    at        REAL NOT NULL,
    progress  BLOB NOT NULL,  -- JSON: what is done, and what came of it
    complete  INTEGER NOT NULL CHECK (complete IN (0, 1)),
    UNIQUE (community, issuer, subject, key)
);
CREATE INDEX action_by_age ON action (at);

-- The jobs that a filter has chosen, until all of them are done: too long to be written anew with
-- each step.
CREATE TABLE action_ids (
    action_id INTEGER PRIMARY KEY REFERENCES action,
    ids       BLOB NOT NULL
);
