-- name: set_looked
INSERT INTO transformation_look AS l (community, seq) VALUES (:community, :seq)
    ON CONFLICT (community) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > l.seq;

-- name: count_unused
-- $1 transformation, $2 JSON: [[file, input, place of its task], …]
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
-- $1 the first task, $2 how many, $3 transformation, $4 its first number, $5 first job, $6 at
INSERT INTO task (task_id, transformation_id, number, job_id, made_at)
SELECT $1::bigint + n, $3::bigint, $4::bigint + n, $5::bigint + n, $6::float8
  FROM generate_series(0, $2::bigint - 1) AS places (n);
