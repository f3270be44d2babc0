-- Rules that keep copies of files, and transfers: copies that are being made, or could not be.

INSERT INTO counter (name, next) VALUES ('rule', 1), ('transfer', 1);

CREATE TABLE rule (
    rule_id    INTEGER PRIMARY KEY,
    community  TEXT NOT NULL,
    owner_id   INTEGER NOT NULL REFERENCES owner,
    group_name TEXT NOT NULL,
    did        TEXT NOT NULL,    -- empty: by query
    query      TEXT NOT NULL,    -- JSON
    copies     INTEGER NOT NULL CHECK (copies >= 1),
    storages   TEXT NOT NULL,    -- JSON list
    made_at    REAL NOT NULL,
    state      TEXT NOT NULL DEFAULT 'Replicating'
               CHECK (state IN ('Ok', 'Replicating', 'Stuck')),
    tally      TEXT NOT NULL DEFAULT '{}', -- JSON
    why        TEXT NOT NULL DEFAULT '',
    UNIQUE (community, did, query, copies, storages)
);

CREATE TABLE transfer (
    transfer_id INTEGER PRIMARY KEY,
    rule_id     INTEGER NOT NULL,
    file_id     INTEGER NOT NULL,
    storage     TEXT NOT NULL,
    is_open     INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    job_id      INTEGER,
    failures    INTEGER NOT NULL DEFAULT 0,
    not_before  REAL NOT NULL DEFAULT 0,
    why         TEXT NOT NULL DEFAULT '',
    UNIQUE (file_id, storage)
);

CREATE INDEX transfer_of_rule ON transfer (rule_id);
CREATE INDEX transfer_open ON transfer (transfer_id) WHERE is_open = 1;
