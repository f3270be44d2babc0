-- Remnants: bytes on a storage that no file names any more, and the jobs that remove them.

INSERT INTO counter (name, next) VALUES ('remnant', 1), ('sweep', 1);

CREATE INDEX replica_of_path ON replica (storage, path);

-- Jobs that may leave bytes on storages beside what their results publish.
CREATE TABLE storing (
    job_id   INTEGER PRIMARY KEY,
    storages TEXT NOT NULL,              -- JSON list
    epoch    INTEGER NOT NULL DEFAULT 0, -- up to which its attempts have been looked at
    pending  INTEGER NOT NULL DEFAULT 1 CHECK (pending IN (0, 1)),
    CHECK (epoch >= 0)
);

CREATE INDEX storing_pending ON storing (job_id) WHERE pending = 1;

-- A copy of a file that was removed, or (without a file) the folder of an attempt that does not
-- count. Waiting: it goes if no file names it then. Sweeping: nothing may name it, for ever.
CREATE TABLE remnant (
    remnant_id INTEGER PRIMARY KEY,
    storage    TEXT NOT NULL,
    path       TEXT NOT NULL,
    community  TEXT NOT NULL,
    owner_id   INTEGER NOT NULL,
    group_name TEXT NOT NULL,
    file_id    INTEGER,
    bytes      INTEGER NOT NULL CHECK (bytes >= 0), -- of a folder nobody knows: 0
    since      REAL NOT NULL,               -- removed, or ended
    due_from   REAL NOT NULL,               -- from when its time counts: later after a failure
    state      TEXT NOT NULL DEFAULT 'Waiting',
    sweep_id   INTEGER,                     -- that has it now
    failures   INTEGER NOT NULL DEFAULT 0,
    why        TEXT NOT NULL DEFAULT '',    -- of the last failure, or why it stays
    gone_at    REAL,
    CHECK (state = 'Waiting' OR state = 'Sweeping' OR state = 'Gone'),
    CHECK (sweep_id IS NULL OR state = 'Sweeping'),
    CHECK ((gone_at IS NOT NULL) = (state = 'Gone'))
);

CREATE INDEX remnant_due ON remnant (storage, due_from)
 WHERE state <> 'Gone' AND sweep_id IS NULL;
CREATE INDEX remnant_marked ON remnant (storage, path) WHERE state <> 'Waiting';
CREATE INDEX remnant_of_file ON remnant (file_id) WHERE file_id IS NOT NULL;
CREATE INDEX remnant_of_sweep ON remnant (sweep_id) WHERE sweep_id IS NOT NULL;
CREATE INDEX remnant_gone ON remnant (gone_at) WHERE gone_at IS NOT NULL;

-- A job that removes some of them; the key of its submission follows from the number.
CREATE TABLE sweep (
    sweep_id   INTEGER PRIMARY KEY,
    storage    TEXT NOT NULL,
    community  TEXT NOT NULL,
    owner_id   INTEGER NOT NULL,
    group_name TEXT NOT NULL,
    made_at    REAL NOT NULL,
    job_id     INTEGER
);

-- How many remnants there are, and went: nobody counts a million rows.
CREATE TABLE remnant_count (
    storage       TEXT NOT NULL,
    community     TEXT NOT NULL,
    waiting       INTEGER NOT NULL DEFAULT 0, -- those being swept too
    waiting_bytes INTEGER NOT NULL DEFAULT 0,
    failing       INTEGER NOT NULL DEFAULT 0, -- of these, those that could not be removed yet
    gone          INTEGER NOT NULL DEFAULT 0, -- ever
    gone_bytes    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (storage, community)
) WITHOUT ROWID;

-- What was removed before there were remnants.
INSERT INTO remnant (remnant_id, storage, path, community, owner_id, group_name, file_id, bytes,
                     since, due_from)
SELECT row_number() OVER (ORDER BY r.file_id, r.storage), r.storage, r.path, c.community,
       f.owner_id,
       CASE WHEN instr(s.scope, '.') > 0 THEN substr(s.scope, 1, instr(s.scope, '.') - 1)
            ELSE s.scope END,
       f.file_id, f.bytes, r.changed_at, r.changed_at
  FROM file AS f
  JOIN replica AS r USING (file_id)
  JOIN data_scope AS s USING (scope_id)
  JOIN data_community AS c ON c.community_id = f.community_id
 WHERE f.state = 'Removed';

INSERT INTO remnant_count (storage, community, waiting, waiting_bytes)
SELECT storage, community, count(*), sum(bytes) FROM remnant GROUP BY storage, community;

UPDATE counter SET next = (SELECT coalesce(max(remnant_id), 0) + 1 FROM remnant)
 WHERE name = 'remnant';
