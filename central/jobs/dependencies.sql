-- Jobs that wait for other jobs. The edges never change. Whether a job still waits follows from the
-- states of its parents.

-- name: insert_dependents
-- ?1 JSON: [job, policy] of each
INSERT INTO dependent (job_id, policy)
SELECT (r.value::json ->> 0)::bigint, r.value::json ->> 1 FROM json_each(?1) AS r;

-- name: insert_dependencies
-- ?1 JSON: [job, place, first parent, number of parents, condition] of each
INSERT INTO dependency (job_id, place, first, count, condition)
SELECT (r.value::json ->> 0)::bigint, (r.value::json ->> 1)::bigint, (r.value::json ->> 2)::bigint,
       (r.value::json ->> 3)::bigint, r.value::json ->> 4
  FROM json_each(?1) AS r;

-- name: any_dependent
SELECT job_id FROM dependent LIMIT 1;

-- name: dependents_in
-- Dependents with ids in the ranges [first, count] that may still wait for their parents: one row
-- for each range of parents.
SELECT d.job_id, j.class_id, d.policy, d.stopped, e.first, e.count, e.condition
  FROM json_each(:ranges) AS r
 CROSS JOIN dependent AS d
    ON d.job_id BETWEEN (r.value::json ->> 0)::bigint
                    AND (r.value::json ->> 0)::bigint + (r.value::json ->> 1)::bigint - 1
 CROSS JOIN job AS j ON j.job_id = d.job_id
 CROSS JOIN dependency AS e ON e.job_id = d.job_id
 WHERE d.stopped < 2 AND j.epoch = 0 AND j.state IN ('Waiting', 'Held')
   AND NOT EXISTS (SELECT 1 FROM attempt AS l WHERE l.job_id = d.job_id AND l.live = 1)
   AND j.submission_id NOT IN (SELECT submission_id FROM submission WHERE complete = 0)
 ORDER BY d.job_id, e.place;

-- name: states_in
-- The states in the rows of jobs. The row of a job with a live attempt says Waiting.
SELECT j.job_id, j.state
  FROM json_each(:ranges) AS r
 CROSS JOIN job AS j
    ON j.job_id BETWEEN (r.value::json ->> 0)::bigint
                    AND (r.value::json ->> 0)::bigint + (r.value::json ->> 1)::bigint - 1;

-- name: dependencies_of
SELECT first, count, condition FROM dependency WHERE job_id = :job_id ORDER BY place LIMIT :limit;

-- name: count_dependencies
SELECT count(*) FROM dependency WHERE job_id = :job_id;

-- name: stopped_of
SELECT job_id, stopped FROM dependent
 WHERE job_id IN (SELECT value::bigint FROM json_each(:ids));

-- name: keep_stopped
UPDATE dependent SET stopped = :stopped WHERE job_id = :job_id;

-- name: run_without
-- A person lets a job run that its parents stopped, or that had ended.
UPDATE dependent SET stopped = 2
 WHERE job_id = :job_id AND (stopped = 1 OR :new_round::bigint = 1);

-- name: remove_dependents
DELETE FROM dependent WHERE job_id BETWEEN :first AND :last;

-- name: remove_dependencies
DELETE FROM dependency WHERE job_id BETWEEN :first AND :last;

-- name: remove_dependents_of_jobs
DELETE FROM dependent WHERE job_id IN (SELECT value::bigint FROM json_each(:ids));

-- name: remove_dependencies_of_jobs
DELETE FROM dependency WHERE job_id IN (SELECT value::bigint FROM json_each(:ids));
