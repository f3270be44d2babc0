-- Productions: workflows that run as linked transformations, one for each step.
CREATE TABLE production (
    production_id BIGINT PRIMARY KEY,
    community    TEXT NOT NULL,
    group_name   TEXT NOT NULL,
    owner_id     BIGINT NOT NULL REFERENCES owner,
    name         TEXT NOT NULL,
    title        TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('New', 'Active', 'Paused', 'Stopped', 'Completed',
                                                'Archived', 'Cleaning', 'Cleaned')),
    reason       TEXT NOT NULL DEFAULT '',
    sha256       TEXT NOT NULL,       -- of the definition
    priority     BIGINT CHECK (priority BETWEEN 0 AND 10), -- NULL: as each job says
    rerun_of     BIGINT,
    made_at      DOUBLE PRECISION NOT NULL,
    changed_at   DOUBLE PRECISION NOT NULL,
    rules        TEXT NOT NULL,       -- of failover; empty: the default ones
    details      BYTEA NOT NULL,       -- JSON: what is only looked at
    definition   BYTEA NOT NULL        -- JSON: what runs
);

CREATE UNIQUE INDEX production_of_name ON production (community, name)
 WHERE state NOT IN ('Archived', 'Cleaned');

CREATE TABLE production_step (
    production_id     BIGINT NOT NULL,
    place             BIGINT NOT NULL,
    step              TEXT NOT NULL,
    parents           TEXT NOT NULL,  -- JSON: places of the steps that feed it
    transformation_id BIGINT NOT NULL,
    PRIMARY KEY (production_id, place)
);

CREATE UNIQUE INDEX production_step_of ON production_step (transformation_id);

CREATE TABLE production_sample (
    production_id BIGINT NOT NULL,
    at            DOUBLE PRECISION NOT NULL,
    progress      DOUBLE PRECISION NOT NULL,
    tasks_done    BIGINT NOT NULL,
    PRIMARY KEY (production_id, at)
);

INSERT INTO counter (name, next) VALUES ('production', 1);

ALTER TABLE transformation ADD COLUMN priority BIGINT; -- of its jobs; NULL: as they say
