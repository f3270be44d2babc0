-- Jobs that wait for other jobs. A row of `dependency` is a range of parents: [first, first + count).

CREATE TABLE dependent (
    job_id  INTEGER PRIMARY KEY,
    policy  TEXT NOT NULL CHECK (policy IN ('', 'hold', 'skip')),
    -- 1: its parents stopped it; 2: a person lets it run without them.
    stopped INTEGER NOT NULL DEFAULT 0 CHECK (stopped IN (0, 1, 2))
);

CREATE TABLE dependency (
    job_id    INTEGER NOT NULL,
    place     INTEGER NOT NULL,
    first     INTEGER NOT NULL,
    count     INTEGER NOT NULL CHECK (count > 0),
    condition TEXT NOT NULL CHECK (condition IN ('ok', 'any', 'fail')),
    PRIMARY KEY (job_id, place)
) WITHOUT ROWID;
