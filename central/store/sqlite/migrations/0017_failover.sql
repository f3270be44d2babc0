-- What failover keeps of transformations that ask for it.

INSERT INTO counter (name, next) VALUES ('failover_report', 1);

CREATE TABLE failover (
    transformation_id INTEGER PRIMARY KEY,
    cycle       INTEGER NOT NULL DEFAULT 0, -- in which there was something to keep
    flushes     INTEGER NOT NULL DEFAULT 0,
    inputs      INTEGER NOT NULL DEFAULT 0, -- that it had then
    judged_from REAL NOT NULL DEFAULT 0,
    first       TEXT NOT NULL DEFAULT '[]', -- JSON: what its first tasks failed of
    last        TEXT NOT NULL DEFAULT '[]', -- JSON: its last ones, the newest last
    said        TEXT NOT NULL DEFAULT '[]', -- JSON: what stood then, and was told
    CHECK (cycle >= 0 AND flushes >= 0)
);

-- Tasks that have ended, until a cycle has looked at them.
CREATE TABLE failover_end (
    transformation_id INTEGER NOT NULL,
    task_id           INTEGER NOT NULL,
    PRIMARY KEY (transformation_id, task_id)
) WITHOUT ROWID;

-- What was decided about them when they ended.
CREATE TABLE failover_decision (
    task_id INTEGER PRIMARY KEY,
    said    TEXT NOT NULL -- JSON
);

CREATE TABLE failover_report (
    report_id  INTEGER PRIMARY KEY,
    transformation_id INTEGER NOT NULL,
    cycle      INTEGER NOT NULL,
    cause      TEXT NOT NULL,
    at         REAL NOT NULL,
    title      TEXT NOT NULL,
    saved      INTEGER NOT NULL CHECK (saved >= 0),
    for_people INTEGER NOT NULL CHECK (for_people >= 0),
    body       BLOB NOT NULL, -- JSON
    mail_due   REAL,          -- NULL: it is not to be mailed, or it was
    mailed_at  REAL,
    mail_tries INTEGER NOT NULL DEFAULT 0,
    mail_why   TEXT NOT NULL DEFAULT '',
    UNIQUE (transformation_id, cycle, cause),
    CHECK (mailed_at IS NULL OR mail_due IS NULL)
);

CREATE INDEX failover_report_due ON failover_report (mail_due) WHERE mail_due IS NOT NULL;
CREATE INDEX failover_report_at ON failover_report (at);
CREATE INDEX job_held_of_task ON job (task_id) WHERE state = 'Held' AND task_id IS NOT NULL;

CREATE TRIGGER task_ends_for_failover AFTER UPDATE OF state ON task
  WHEN old.state = 'Created' AND new.state <> 'Created'
   AND EXISTS (SELECT 1 FROM failover AS f WHERE f.transformation_id = new.transformation_id)
BEGIN
    INSERT INTO failover_end (transformation_id, task_id)
    VALUES (new.transformation_id, new.task_id) ON CONFLICT DO NOTHING;
END;
