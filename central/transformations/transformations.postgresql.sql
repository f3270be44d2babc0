-- name: set_looked
INSERT INTO transformation_look AS l (community, seq) VALUES (:community, :seq)
    ON CONFLICT (community) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > l.seq;

-- name: count_unused
-- $1 transformation, $2 JSON: [[file, input], …]
SELECT count(*)
  FROM json_array_elements($2::json) AS w(value)
  JOIN input AS i
    ON i.transformation_id = $1 AND i.file_id = (w.value ->> 0)::bigint
   AND i.input_no = (w.value ->> 1)::bigint
 WHERE i.state = 'Unused';

-- name: insert_task_inputs
-- $1 the first task, $2 JSON: [[file, place of its task], …]
INSERT INTO task_input (task_id, file_id)
SELECT $1::bigint + (value ->> 1)::bigint, (value ->> 0)::bigint
  FROM json_array_elements($2::json) AS t(value)
    ON CONFLICT DO NOTHING;

-- name: insert_tasks
-- $1 the first task, $2 JSON of the recipe of each, $3 transformation, $4 its first number,
-- $5 first job, $6 at
INSERT INTO task (task_id, transformation_id, number, job_id, made_at, recipe)
SELECT $1::bigint + n - 1, $3::bigint, $4::bigint + n - 1, $5::bigint + n - 1, $6::float8, value
  FROM json_array_elements_text($2::json) WITH ORDINALITY AS t(value, n);

-- name: insert_reused_tasks
-- $1 the first task, $2 JSON of the job of each, $3 transformation, $4 its first number, $5 at
INSERT INTO task (task_id, transformation_id, number, job_id, state, made_at, ended_at, is_reused)
SELECT $1::bigint + n - 1, $3::bigint, $4::bigint + n - 1, value::bigint, 'Done', $5::float8,
       $5::float8, 1
  FROM json_array_elements_text($2::json) WITH ORDINALITY AS t(value, n);

-- name: remove_task_end_together
-- This and the next statement handle many tasks, each of which comes once, with an array for each
-- column.
DELETE FROM task_end AS e
 USING unnest(:task_id::bigint[], :n::bigint[]) AS v (task_id, n)
 WHERE e.task_id = v.task_id
RETURNING v.n;

-- name: close_task_together
-- It says `state || ''`, because the planner would use the index of all open tasks otherwise.
UPDATE task AS t
   SET state = v.state, reason = v.reason, ended_at = v.at, is_split = v.is_retried
  FROM unnest(:task_id::bigint[], :state::text[], :reason::text[], :at::float8[],
              :is_retried::bigint[])
       AS v (task_id, state, reason, at, is_retried)
 WHERE t.task_id = v.task_id AND t.state || '' = 'Created';

-- name: task_ends
-- Without LATERAL the planner would read all tasks and jobs for one page, before the first ANALYZE.
SELECT e.task_id, t.transformation_id, t.number, e.job_id, e.state,
       coalesce(j.how, ''), coalesce(nullif(j.reason, ''), j.why, '')
  FROM (SELECT task_id, job_id, state FROM task_end ORDER BY task_id LIMIT :limit) AS e
 CROSS JOIN LATERAL (SELECT x.transformation_id, x.number FROM task AS x
                      WHERE x.task_id = e.task_id LIMIT 1) AS t
  LEFT JOIN LATERAL (SELECT y.reason, a.how, a.reason AS why
                       FROM job AS y LEFT JOIN attempt AS a ON a.attempt_id = y.last_attempt
                      WHERE y.job_id = e.job_id LIMIT 1) AS j ON true
 ORDER BY e.task_id;
