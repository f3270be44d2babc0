-- The catalogue: files, their copies, datasets and metadata. Written for 10^7 files.
--
-- What files have alike lies once, in `meta_set`; what differs from file to file lies in the row
-- (`file.own`), and in `own_value` for queries. Every change of a file gives it the next number of
-- `file_change`: what has changed since is a range of one index, and no log grows.

INSERT INTO counter (name, next) VALUES ('file', 1), ('file_change', 1), ('dataset', 1);

CREATE TABLE data_community (
    community_id INTEGER PRIMARY KEY,
    community    TEXT NOT NULL UNIQUE
);

CREATE TABLE data_scope (
    scope_id     INTEGER PRIMARY KEY,
    community_id INTEGER NOT NULL,
    scope        TEXT NOT NULL,
    UNIQUE (community_id, scope)
);

CREATE TABLE meta_key (
    key_id       INTEGER PRIMARY KEY,
    community_id INTEGER NOT NULL,
    key          TEXT NOT NULL,
    type         TEXT NOT NULL CHECK (type IN ('string', 'number', 'boolean')),
    is_own       INTEGER NOT NULL DEFAULT 0 CHECK (is_own IN (0, 1)),
    UNIQUE (community_id, key)
);

-- A value is a number with an empty text (true is 1), or a text with the number 0.
CREATE TABLE meta_value (  -- that a key has had while it was shared
    key_id INTEGER NOT NULL,
    number REAL NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (key_id, number, text)
) WITHOUT ROWID;

CREATE TABLE meta_set (  -- never changed, never removed
    set_id       INTEGER PRIMARY KEY,
    community_id INTEGER NOT NULL,
    hash         BLOB NOT NULL, -- SHA-256 of `metadata`
    metadata     TEXT NOT NULL, -- JSON object, keys in order
    UNIQUE (community_id, hash)
);

CREATE INDEX meta_set_of_community ON meta_set (community_id, set_id);

CREATE TABLE file (
    file_id      INTEGER PRIMARY KEY,
    community_id INTEGER NOT NULL,
    scope_id     INTEGER NOT NULL,
    set_id       INTEGER NOT NULL,
    owner_id     INTEGER NOT NULL,
    job_id       INTEGER,  -- that made it; the job itself may be gone
    epoch        INTEGER,
    seq          INTEGER NOT NULL,
    bytes        INTEGER NOT NULL CHECK (bytes >= 0),
    adler32      INTEGER,
    sha256       BLOB,
    state        TEXT NOT NULL,
    created_at   REAL NOT NULL,
    name         TEXT NOT NULL,
    own          TEXT, -- JSON object, or none
    CHECK (state = 'Available' OR state = 'Missing' OR state = 'Lost' OR state = 'Removed'),
    CHECK (adler32 IS NOT NULL OR sha256 IS NOT NULL),
    CHECK ((job_id IS NULL) = (epoch IS NULL))
);

CREATE UNIQUE INDEX file_of_name ON file (scope_id, name);
CREATE UNIQUE INDEX file_changed ON file (community_id, seq);
CREATE INDEX file_of_set ON file (set_id, file_id) WHERE state = 'Available';
CREATE INDEX file_of_set_otherwise ON file (set_id, file_id) WHERE state <> 'Available';
CREATE INDEX file_of_job ON file (job_id) WHERE job_id IS NOT NULL;

CREATE TABLE own_value (
    set_id  INTEGER NOT NULL, -- of the file
    key_id  INTEGER NOT NULL,
    number  REAL NOT NULL,
    text    TEXT NOT NULL,
    file_id INTEGER NOT NULL,
    PRIMARY KEY (set_id, key_id, number, text, file_id)
) WITHOUT ROWID;

CREATE TABLE replica (
    file_id    INTEGER NOT NULL,
    storage    TEXT NOT NULL,
    path       TEXT NOT NULL,
    state      TEXT NOT NULL,
    changed_at REAL NOT NULL,
    PRIMARY KEY (file_id, storage),
    CHECK (state = 'Available' OR state = 'Copying' OR state = 'Bad' OR state = 'Missing')
) WITHOUT ROWID;

CREATE TABLE dataset (
    dataset_id   INTEGER PRIMARY KEY,
    community_id INTEGER NOT NULL,
    scope_id     INTEGER NOT NULL,
    name         TEXT NOT NULL,
    is_open      INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    owner_id     INTEGER NOT NULL,
    metadata     TEXT NOT NULL, -- JSON object
    created_at   REAL NOT NULL
);

CREATE UNIQUE INDEX dataset_of_name ON dataset (scope_id, name);

CREATE TABLE dataset_file (
    dataset_id INTEGER NOT NULL,
    file_id    INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, file_id)
) WITHOUT ROWID;

CREATE INDEX dataset_of_file ON dataset_file (file_id, dataset_id);

-- What jobs read: exact, since it is fixed when the job is submitted. It outlives the job.
CREATE TABLE job_input (
    job_id   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    file_id  INTEGER NOT NULL,
    PRIMARY KEY (job_id, position)
) WITHOUT ROWID;

CREATE INDEX job_input_of_file ON job_input (file_id, job_id);
