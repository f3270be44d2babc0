-- Productions: workflows that run as linked transformations, one for each step.
CREATE TABLE production (
    production_id INTEGER PRIMARY KEY,
    community    TEXT NOT NULL,
    group_name   TEXT NOT NULL,
    owner_id     INTEGER NOT NULL REFERENCES owner,
    name         TEXT NOT NULL,
    title        TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('New', 'Active', 'Paused', 'Stopped', 'Completed',
                                                'Archived', 'Cleaning', 'Cleaned')),
    reason       TEXT NOT NULL DEFAULT '',
    sha256       TEXT NOT NULL,       -- of the definition
    priority     INTEGER CHECK (priority BETWEEN 0 AND 10), -- NULL: as each job says
    rerun_of     INTEGER,
    made_at      REAL NOT NULL,
    changed_at   REAL NOT NULL,
    rules        TEXT NOT NULL,       -- of failover; empty: the default ones
    details      BLOB NOT NULL,       -- JSON: what is only looked at
    definition   BLOB NOT NULL        -- JSON: what runs
);

CREATE UNIQUE INDEX production_of_name ON production (community, name)
 WHERE state NOT IN ('Archived', 'Cleaned');

CREATE TABLE production_step (
    production_id     INTEGER NOT NULL,
    place             INTEGER NOT NULL,
    step              TEXT NOT NULL,
    parents           TEXT NOT NULL,  -- JSON: places of the steps that feed it
    transformation_id INTEGER NOT NULL,
    PRIMARY KEY (production_id, place)
) WITHOUT ROWID;

CREATE UNIQUE INDEX production_step_of ON production_step (transformation_id);

CREATE TABLE production_sample (
    production_id INTEGER NOT NULL,
    at            REAL NOT NULL,
    progress      REAL NOT NULL,
    tasks_done    INTEGER NOT NULL,
    PRIMARY KEY (production_id, at)
) WITHOUT ROWID;

INSERT INTO counter (name, next) VALUES ('production', 1);

ALTER TABLE transformation ADD COLUMN priority INTEGER; -- of its jobs; NULL: as they say
