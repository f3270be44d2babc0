-- The first schema.
--
-- Locality costs more than the number of rows. So a job's row is narrow and is written once, at the
-- end; what it runs lies apart in `body` and is never rewritten; attempts are appended under their
-- own id. There is no index on the state of a job: each one costs two scattered pages an end.
-- `zone` says instead how many jobs of a class stand in a state within 1 024 consecutive ids, and
-- a search reads only the zones that hold some.

CREATE TABLE store (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    generation TEXT NOT NULL,
    made_at    REAL NOT NULL
);

CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    next INTEGER NOT NULL CHECK (next BETWEEN 1 AND 9007199254740991)
) WITHOUT ROWID;

INSERT INTO counter (name, next) VALUES ('submission', 1), ('job', 1), ('attempt', 1);

CREATE TABLE owner (
    owner_id  INTEGER PRIMARY KEY,
    community TEXT NOT NULL,
    issuer    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    name      TEXT NOT NULL,
    UNIQUE (community, issuer, subject)
);

CREATE TABLE class (
    class_id   INTEGER PRIMARY KEY,
    community  TEXT NOT NULL,
    group_name TEXT NOT NULL,
    owner_id   INTEGER NOT NULL REFERENCES owner,
    type       TEXT NOT NULL,
    needs      BLOB NOT NULL,
    preference BLOB NOT NULL,
    UNIQUE (owner_id, community, group_name, type, needs, preference)
);

CREATE INDEX class_of_community ON class (community);

CREATE TABLE site (
    site_id INTEGER PRIMARY KEY,
    site    TEXT NOT NULL UNIQUE
);

CREATE TABLE submission (
    submission_id INTEGER PRIMARY KEY,
    community     TEXT NOT NULL,
    owner_id      INTEGER NOT NULL REFERENCES owner,
    key           TEXT NOT NULL,
    body_hash     TEXT NOT NULL,
    name          TEXT NOT NULL,
    job_name      TEXT, -- the template's: the name of its jobs that have none of their own
    at            REAL NOT NULL,
    complete      INTEGER NOT NULL CHECK (complete IN (0, 1)),
    ranges        TEXT NOT NULL DEFAULT '[]', -- JSON: [[first id, count], …]
    template      BLOB, -- last, because what follows a long value is slow to reach
    UNIQUE (community, owner_id, key)
);

CREATE INDEX submission_arriving ON submission (submission_id) WHERE complete = 0;
CREATE INDEX submission_of_name ON submission (job_name) WHERE job_name IS NOT NULL;

-- No reference to `submission`: removing one would then read the whole table.
CREATE TABLE job (
    job_id        INTEGER PRIMARY KEY,
    class_id      INTEGER NOT NULL REFERENCES class,
    submission_id INTEGER NOT NULL,
    state         TEXT NOT NULL DEFAULT 'Waiting',
    deleted       INTEGER NOT NULL DEFAULT 0,
    site_id       INTEGER,
    priority      INTEGER NOT NULL,
    retries       INTEGER NOT NULL,
    round         INTEGER NOT NULL DEFAULT 1,
    epoch         INTEGER NOT NULL DEFAULT 0,
    failures      INTEGER NOT NULL DEFAULT 0,
    losses        INTEGER NOT NULL DEFAULT 0,
    last_attempt  INTEGER, -- the last one that is not live, or was not until it was taken back
    queue_until   REAL,
    ended_at      REAL,
    reason        TEXT NOT NULL DEFAULT '',
    -- The states of a job without a live attempt. The most frequent come first: OR stops there.
    CHECK (state = 'Waiting' OR state = 'Done' OR state = 'Failed' OR state = 'Killed'
        OR state = 'Held' OR state = 'Completing' OR state = 'Received' OR state = 'Checking'
        OR state = 'Staging'),
    CHECK (deleted = 0
        OR (deleted = 1 AND (state = 'Done' OR state = 'Failed' OR state = 'Killed'))),
    CHECK ((ended_at IS NOT NULL) = (state = 'Done' OR state = 'Failed' OR state = 'Killed')),
    CHECK (epoch >= 0 AND (epoch = 0) = (last_attempt IS NULL)),
    CHECK (round >= 1 AND losses >= 0 AND failures >= 0 AND failures <= epoch),
    CHECK (priority BETWEEN 0 AND 10 AND retries >= 0)
);

CREATE TABLE body (
    job_id INTEGER PRIMARY KEY,
    name   TEXT,
    body   BLOB NOT NULL
);

CREATE INDEX body_of_name ON body (name) WHERE name IS NOT NULL;

CREATE TABLE zone (
    class_id INTEGER NOT NULL,
    state    TEXT NOT NULL,
    zone     INTEGER NOT NULL, -- job_id >> 10
    jobs     INTEGER NOT NULL CHECK (jobs >= 0), -- by job.state, so Waiting includes the live ones
    PRIMARY KEY (class_id, state, zone)
) WITHOUT ROWID;

CREATE TRIGGER job_moves_in_its_zone AFTER UPDATE OF state ON job WHEN old.state <> new.state
BEGIN
    UPDATE zone SET jobs = jobs - 1
     WHERE class_id = old.class_id AND state = old.state AND zone = old.job_id >> 10;
    INSERT INTO zone (class_id, state, zone, jobs)
    VALUES (new.class_id, new.state, new.job_id >> 10, 1)
        ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

-- No reference to `job`, for the same reason as above. All attempts of a job are found from the
-- live or the last one along `previous`.
CREATE TABLE attempt (
    attempt_id INTEGER PRIMARY KEY,
    job_id     INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    round      INTEGER NOT NULL,
    previous   INTEGER,
    pilot      TEXT NOT NULL,
    session    INTEGER NOT NULL,
    ask        INTEGER NOT NULL,
    site_id    INTEGER NOT NULL,
    element    TEXT NOT NULL,
    host       TEXT NOT NULL,
    cores      INTEGER NOT NULL,
    memory_mb  INTEGER NOT NULL,
    scratch_mb INTEGER NOT NULL,
    wall_s     REAL NOT NULL,
    state      TEXT,
    live       INTEGER NOT NULL,
    open       INTEGER NOT NULL,
    wanted     TEXT,
    matched_at REAL NOT NULL,
    started_at REAL,
    ended_at   REAL,
    how        TEXT,
    exit_code  INTEGER,
    event      TEXT NOT NULL DEFAULT '',
    reason     TEXT NOT NULL DEFAULT '',
    detail     TEXT NOT NULL DEFAULT '',
    isolation  TEXT NOT NULL DEFAULT '',
    usage      TEXT, -- JSON of messages.Usage
    outputs    TEXT, -- JSON of messages.Output, a list
    progress   TEXT, -- JSON: [[wall clock, application status], …]
    CHECK ((live = 1 AND open = 1 AND (state = 'Matched' OR state = 'Running') AND ended_at IS NULL)
        OR (live = 0 AND (open = 0 OR open = 1) AND state IS NULL AND ended_at IS NOT NULL)),
    CHECK (wanted IS NULL OR wanted = 'kill' OR wanted = 'hold' OR wanted = 'reschedule'
        OR wanted = 'other'),
    CHECK (epoch >= 1 AND round >= 1)
);

CREATE UNIQUE INDEX attempt_live ON attempt (job_id) WHERE live = 1;
-- Cut off, its job waits again, and it may still come back.
CREATE INDEX attempt_adrift ON attempt (job_id) WHERE open = 1 AND live = 0;

CREATE TABLE evidence (
    evidence_id INTEGER PRIMARY KEY,
    job_id      INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    at          REAL NOT NULL,
    pilot       TEXT NOT NULL,
    why         TEXT NOT NULL,
    report      BLOB NOT NULL
);

CREATE INDEX evidence_of_job ON evidence (job_id);

CREATE TABLE note (
    note_id INTEGER PRIMARY KEY,
    job_id  INTEGER NOT NULL,
    at      REAL NOT NULL,
    who     TEXT NOT NULL,
    event   TEXT NOT NULL,
    detail  TEXT NOT NULL
);

CREATE INDEX note_of_job ON note (job_id);

CREATE TABLE pilot (
    pilot         TEXT PRIMARY KEY,
    community     TEXT NOT NULL,
    site          TEXT NOT NULL,
    element       TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN (
        'Submitted', 'Waiting', 'Running', 'Draining', 'Done', 'Lost', 'Failed', 'Aborted')),
    session       INTEGER NOT NULL DEFAULT 0 CHECK (session >= 0),
    nonce         TEXT NOT NULL DEFAULT '',
    renewal_hash  TEXT NOT NULL DEFAULT '',
    host          TEXT NOT NULL DEFAULT '',
    node          BLOB NOT NULL DEFAULT x'',
    made_at       REAL NOT NULL,
    registered_at REAL,
    ended_at      REAL,
    reason        TEXT NOT NULL DEFAULT '',
    CHECK ((session = 0) = (registered_at IS NULL))
) WITHOUT ROWID;

CREATE TABLE secret (
    secret_hash TEXT PRIMARY KEY,
    pilot       TEXT NOT NULL UNIQUE REFERENCES pilot,
    expires_at  REAL NOT NULL,
    made_by     TEXT NOT NULL,
    at          REAL NOT NULL,
    nonce       TEXT -- of the registration that used it
) WITHOUT ROWID;

CREATE TABLE token (
    jti        TEXT PRIMARY KEY,
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    name       TEXT NOT NULL,
    community  TEXT NOT NULL,
    groups     TEXT NOT NULL, -- JSON list
    role       TEXT NOT NULL,
    issued_at  REAL NOT NULL,
    expires_at REAL NOT NULL,
    issued_by  TEXT NOT NULL,
    revoked_at REAL
) WITHOUT ROWID;

CREATE INDEX token_revoked ON token (expires_at) WHERE revoked_at IS NOT NULL;
