-- What failover keeps of transformations that ask for it.

INSERT INTO counter (name, next) VALUES ('failover_report', 1);

CREATE TABLE failover (
    transformation_id BIGINT PRIMARY KEY,
    cycle       BIGINT NOT NULL DEFAULT 0, -- in which there was something to keep
    flushes     BIGINT NOT NULL DEFAULT 0,
    inputs      BIGINT NOT NULL DEFAULT 0, -- that it had then
    judged_from DOUBLE PRECISION NOT NULL DEFAULT 0,
    first       TEXT NOT NULL DEFAULT '[]', -- JSON: what its first tasks failed of
    last        TEXT NOT NULL DEFAULT '[]', -- JSON: its last ones, the newest last
    said        TEXT NOT NULL DEFAULT '[]', -- JSON: what stood then, and was told
    CHECK (cycle >= 0 AND flushes >= 0)
);

-- Tasks that have ended, until a cycle has looked at them.
CREATE TABLE failover_end (
    transformation_id BIGINT NOT NULL,
    task_id           BIGINT NOT NULL,
    PRIMARY KEY (transformation_id, task_id)
);

-- What was decided about them when they ended.
CREATE TABLE failover_decision (
    task_id BIGINT PRIMARY KEY,
    said    TEXT NOT NULL -- JSON
);

CREATE TABLE failover_report (
    report_id  BIGINT PRIMARY KEY,
    transformation_id BIGINT NOT NULL,
    cycle      BIGINT NOT NULL,
    cause      TEXT NOT NULL,
    at         DOUBLE PRECISION NOT NULL,
    title      TEXT NOT NULL,
    saved      BIGINT NOT NULL CHECK (saved >= 0),
    for_people BIGINT NOT NULL CHECK (for_people >= 0),
    body       BYTEA NOT NULL, -- JSON
    mail_due   DOUBLE PRECISION,          -- NULL: it is not to be mailed, or it was
    mailed_at  DOUBLE PRECISION,
    mail_tries BIGINT NOT NULL DEFAULT 0,
    mail_why   TEXT NOT NULL DEFAULT '',
    UNIQUE (transformation_id, cycle, cause),
    CHECK (mailed_at IS NULL OR mail_due IS NULL)
);

CREATE INDEX failover_report_due ON failover_report (mail_due) WHERE mail_due IS NOT NULL;
CREATE INDEX failover_report_at ON failover_report (at);
CREATE INDEX job_held_of_task ON job (task_id) WHERE state = 'Held' AND task_id IS NOT NULL;

CREATE FUNCTION tasks_end_for_failover() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO failover_end (transformation_id, task_id)
    SELECT n.transformation_id, n.task_id
      FROM old_rows AS o JOIN new_rows AS n USING (task_id)
      JOIN failover AS f ON f.transformation_id = n.transformation_id
     WHERE o.state = 'Created' AND n.state <> 'Created'
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER tasks_end_for_failover AFTER UPDATE ON task
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tasks_end_for_failover();
