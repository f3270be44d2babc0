-- What moves is counted without a join: of rows that came together none has an index, and a join of
-- them that was planned for a few is the square of many.

CREATE OR REPLACE FUNCTION jobs_have_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH moved AS (
        SELECT class_id, state, zone, sum(jobs) AS jobs
          FROM (SELECT class_id, state, job_id >> 10 AS zone, -1 AS jobs FROM old_rows
                UNION ALL
                SELECT class_id, state, job_id >> 10, 1 FROM new_rows) AS every
         GROUP BY class_id, state, zone HAVING sum(jobs) <> 0
    ), gone AS (
        UPDATE zone AS z SET jobs = z.jobs + m.jobs
          FROM moved AS m
         WHERE z.class_id = m.class_id AND z.state = m.state AND z.zone = m.zone AND m.jobs < 0
    )
    INSERT INTO zone AS z (class_id, state, zone, jobs)
    SELECT class_id, state, zone, jobs FROM moved WHERE jobs > 0
        ON CONFLICT (class_id, state, zone) DO UPDATE SET jobs = z.jobs + excluded.jobs;
    INSERT INTO task_end (task_id, job_id, state)
    SELECT task_id, job_id, state
      FROM (SELECT task_id, job_id, state, -1 AS jobs FROM old_rows WHERE task_id IS NOT NULL
            UNION ALL
            SELECT task_id, job_id, state, 1 FROM new_rows WHERE task_id IS NOT NULL) AS every
     WHERE state IN ('Done', 'Failed', 'Killed')
     GROUP BY task_id, job_id, state HAVING sum(jobs) > 0
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

-- Rows that came together are joined by a hash, which other statements of what writes do without.
ALTER FUNCTION inputs_have_moved() SET enable_hashjoin = on;
ALTER FUNCTION tasks_have_moved() SET enable_hashjoin = on;
ALTER FUNCTION tasks_end_for_failover() SET enable_hashjoin = on;

-- An attempt is written at its match and changed at its start: the next version finds room on the
-- page, and no index is written for it.
ALTER TABLE attempt SET (fillfactor = 60);
