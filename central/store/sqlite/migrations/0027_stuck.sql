-- The state MaxReset of inputs is called Stuck. SQLite cannot change a CHECK, so the table is
-- made again. The triggers come after the copying: the counts must not count the rows twice.
DROP TRIGGER input_comes;
DROP TRIGGER input_moves;

CREATE TABLE input_renamed (
    transformation_id INTEGER NOT NULL,
    file_id    INTEGER NOT NULL,
    input_no   INTEGER NOT NULL, -- the number of the transformation's input, from 0
    state      TEXT NOT NULL CHECK (state IN ('Unused', 'Assigned', 'Processed', 'Stuck',
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

INSERT INTO input_renamed (transformation_id, file_id, input_no, state, task_id, errors, replays,
                           inherited, changed_at)
SELECT transformation_id, file_id, input_no,
       CASE state WHEN 'MaxReset' THEN 'Stuck' ELSE state END, task_id, errors, replays,
       inherited, changed_at
  FROM input ORDER BY transformation_id, file_id, input_no;

DROP TABLE input;
ALTER TABLE input_renamed RENAME TO input;

CREATE INDEX input_unused ON input (transformation_id, file_id, input_no) WHERE state = 'Unused';

UPDATE input_count SET state = 'Stuck' WHERE state = 'MaxReset';

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
