-- What pilots have said in their own logs. Lines that came together are one parcel, packed and
-- written once: a row for each line would cost more than the jobs that the lines are about.

INSERT INTO counter (name, next) VALUES ('parcel', 1);

-- Who said it. The row outlives the pilot's own for as long as lines of it are kept.
CREATE TABLE log_source (
    source_id INTEGER PRIMARY KEY,
    pilot     TEXT NOT NULL UNIQUE,
    community TEXT NOT NULL,
    site      TEXT NOT NULL,
    element   TEXT NOT NULL,
    host      TEXT NOT NULL,
    batch_id  TEXT NOT NULL,
    last_n    INTEGER NOT NULL DEFAULT 0, -- number of its last line: what comes again is left out
    bytes     INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0) -- of its parcels
);

CREATE INDEX log_source_of_host ON log_source (host);
CREATE INDEX log_source_of_batch ON log_source (batch_id) WHERE batch_id <> '';
CREATE INDEX log_source_empty ON log_source (pilot) WHERE bytes = 0;

CREATE TABLE log_parcel (
    parcel_id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL,
    community TEXT NOT NULL, -- of its source: who sees one community looks through its parcels alone
    kept_at   REAL NOT NULL,
    bytes     INTEGER NOT NULL,
    jobs      TEXT NOT NULL, -- JSON: the jobs that its lines are about
    lines     BLOB NOT NULL  -- zlib of JSON
);

CREATE INDEX log_parcel_of_source ON log_parcel (source_id);
CREATE INDEX log_parcel_of_community ON log_parcel (community);
CREATE INDEX log_parcel_kept ON log_parcel (kept_at);

CREATE TABLE log_job (
    job_id    INTEGER NOT NULL,
    parcel_id INTEGER NOT NULL,
    PRIMARY KEY (job_id, parcel_id)
) WITHOUT ROWID;
