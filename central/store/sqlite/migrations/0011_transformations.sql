-- Transformations: what turns files, or a number, into jobs. A row of `input` is a file in one
-- transformation, and a task takes it in the transaction that stores the task's job.

CREATE TABLE transformation (
    transformation_id INTEGER PRIMARY KEY,
    community    TEXT NOT NULL,
    group_name   TEXT NOT NULL,
    owner_id     INTEGER NOT NULL REFERENCES owner,
    name         TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('New', 'Active', 'Paused', 'Stopped', 'Completing',
                                                'Completed', 'Archived', 'Cleaning', 'Cleaned')),
    reason       TEXT NOT NULL DEFAULT '',
    parent_id    INTEGER,             -- it was derived from this one
    tasks_wanted INTEGER NOT NULL,    -- 0: as many as its inputs make
    tasks_made   INTEGER NOT NULL DEFAULT 0,
    scouts_until INTEGER NOT NULL,    -- while not 0: no task has a greater number
    scouted      BLOB NOT NULL DEFAULT x'',
    closing      INTEGER NOT NULL DEFAULT 0 CHECK (closing IN (0, 1)),
    flushing     INTEGER NOT NULL DEFAULT 0 CHECK (flushing IN (0, 1)),
    seeded       INTEGER NOT NULL DEFAULT 0 CHECK (seeded IN (0, 1)),
    seed_place   TEXT NOT NULL DEFAULT '', -- how far the files that were there were looked through
    made_at      REAL NOT NULL,
    changed_at   REAL NOT NULL,
    judged_from  REAL NOT NULL DEFAULT 0,
    doc          BLOB NOT NULL,
    CHECK (tasks_made >= 0 AND (tasks_wanted = 0 OR tasks_made <= tasks_wanted))
);

CREATE UNIQUE INDEX transformation_of_name ON transformation (community, name)
 WHERE state NOT IN ('Archived', 'Cleaned');
CREATE UNIQUE INDEX transformation_derived ON transformation (parent_id)
 WHERE parent_id IS NOT NULL;

CREATE TABLE task (
    task_id   INTEGER PRIMARY KEY,
    transformation_id INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    job_id    INTEGER NOT NULL,
    state     TEXT NOT NULL DEFAULT 'Created'
              CHECK (state IN ('Created', 'Done', 'Failed', 'Killed', 'Lost')),
    made_at   REAL NOT NULL,
    ended_at  REAL,
    reason    TEXT NOT NULL DEFAULT '',
    CHECK ((state = 'Created') = (ended_at IS NULL))
);

CREATE UNIQUE INDEX task_of_transformation ON task (transformation_id, number);
CREATE INDEX task_open ON task (task_id) WHERE state = 'Created';

CREATE TABLE input (
    transformation_id INTEGER NOT NULL,
    file_id    INTEGER NOT NULL,
    input_no   INTEGER NOT NULL, -- which of the transformation's inputs it is
    state      TEXT NOT NULL CHECK (state IN ('Unused', 'Assigned', 'Processed', 'MaxReset',
                                              'Problematic', 'Missing', 'Removed', 'Moved',
                                              'Shared')),
    task_id    INTEGER, -- the last task that had it
    errors     INTEGER NOT NULL DEFAULT 0,
    replays    INTEGER NOT NULL DEFAULT 0,
    inherited  INTEGER NOT NULL DEFAULT 0,
    changed_at REAL NOT NULL,
    PRIMARY KEY (transformation_id, file_id, input_no),
    CHECK (state <> 'Assigned' OR task_id IS NOT NULL)
) WITHOUT ROWID;

CREATE INDEX input_unused ON input (transformation_id, file_id, input_no) WHERE state = 'Unused';

-- Which files tasks had, side inputs too: where files come from. It outlives the jobs.
CREATE TABLE task_input (
    task_id INTEGER NOT NULL,
    file_id INTEGER NOT NULL,
    PRIMARY KEY (task_id, file_id)
) WITHOUT ROWID;

CREATE INDEX task_input_of_file ON task_input (file_id, task_id);

-- Tasks whose jobs have ended, until the consequences are drawn.
CREATE TABLE task_end (
    task_id INTEGER PRIMARY KEY,
    job_id  INTEGER NOT NULL,
    state   TEXT -- NULL: the job is not there any more
);

CREATE TABLE input_count (
    transformation_id INTEGER NOT NULL,
    input_no INTEGER NOT NULL,
    state    TEXT NOT NULL,
    files    INTEGER NOT NULL CHECK (files >= 0),
    PRIMARY KEY (transformation_id, input_no, state)
) WITHOUT ROWID;

CREATE TABLE task_count (
    transformation_id INTEGER NOT NULL,
    state TEXT NOT NULL,
    tasks INTEGER NOT NULL CHECK (tasks >= 0),
    PRIMARY KEY (transformation_id, state)
) WITHOUT ROWID;

CREATE TABLE transformation_look (
    community TEXT PRIMARY KEY,
    seq       INTEGER NOT NULL -- changes of its catalogue up to this one were looked at
) WITHOUT ROWID;

INSERT INTO counter (name, next) VALUES ('transformation', 1), ('task', 1);

ALTER TABLE job ADD COLUMN task_id INTEGER; -- NULL: it is of no transformation

CREATE TRIGGER job_of_a_task_ends AFTER UPDATE OF state ON job
  WHEN new.task_id IS NOT NULL AND new.state <> old.state
   AND (new.state = 'Done' OR new.state = 'Failed' OR new.state = 'Killed')
BEGIN
    INSERT INTO task_end (task_id, job_id, state) VALUES (new.task_id, new.job_id, new.state)
        ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER input_comes AFTER INSERT ON input
BEGIN
    INSERT INTO input_count (transformation_id, input_no, state, files)
    VALUES (new.transformation_id, new.input_no, new.state, 1)
        ON CONFLICT DO UPDATE SET files = files + 1;
END;

CREATE TRIGGER input_moves AFTER UPDATE OF state ON input WHEN old.state <> new.state
BEGIN
    UPDATE input_count SET files = files - 1
     WHERE transformation_id = old.transformation_id AND input_no = old.input_no
       AND state = old.state;
    INSERT INTO input_count (transformation_id, input_no, state, files)
    VALUES (new.transformation_id, new.input_no, new.state, 1)
        ON CONFLICT DO UPDATE SET files = files + 1;
END;

CREATE TRIGGER task_comes AFTER INSERT ON task
BEGIN
    INSERT INTO task_count (transformation_id, state, tasks)
    VALUES (new.transformation_id, new.state, 1)
        ON CONFLICT DO UPDATE SET tasks = tasks + 1;
END;

CREATE TRIGGER task_moves AFTER UPDATE OF state ON task WHEN old.state <> new.state
BEGIN
    UPDATE task_count SET tasks = tasks - 1
     WHERE transformation_id = old.transformation_id AND state = old.state;
    INSERT INTO task_count (transformation_id, state, tasks)
    VALUES (new.transformation_id, new.state, 1)
        ON CONFLICT DO UPDATE SET tasks = tasks + 1;
END;
