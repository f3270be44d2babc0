-- name: set_looked
INSERT INTO transformation_look (community, seq) VALUES (:community, :seq)
    ON CONFLICT DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq;

-- name: count_unused
-- ?1 transformation, ?2 JSON: [[file, input], …]
SELECT count(*)
  FROM json_each(?2) AS w
 CROSS JOIN input AS i
    ON i.transformation_id = ?1 AND i.file_id = w.value ->> 0 AND i.input_no = w.value ->> 1
 WHERE i.state = 'Unused';

-- name: insert_task_inputs
-- ?1 the first task, ?2 JSON: [[file, place of its task], …]
INSERT INTO task_input (task_id, file_id)
SELECT ?1 + (value ->> 1), value ->> 0 FROM json_each(?2) WHERE true
    ON CONFLICT DO NOTHING;

-- name: insert_tasks
-- ?1 the first task, ?2 JSON of the recipe of each, ?3 transformation, ?4 its first number,
-- ?5 first job, ?6 at
INSERT INTO task (task_id, transformation_id, number, job_id, made_at, recipe)
SELECT ?1 + key, ?3, ?4 + key, ?5 + key, ?6, value FROM json_each(?2);

-- name: insert_reused_tasks
-- ?1 the first task, ?2 JSON of the job of each, ?3 transformation, ?4 its first number, ?5 at
INSERT INTO task (task_id, transformation_id, number, job_id, state, made_at, ended_at, is_reused)
SELECT ?1 + key, ?3, ?4 + key, value, 'Done', ?5, ?5, 1 FROM json_each(?2);

-- name: task_ends
SELECT e.task_id, t.transformation_id, t.number, e.job_id, e.state,
       coalesce(a.how, ''), coalesce(nullif(j.reason, ''), a.reason, '')
  FROM task_end AS e
 CROSS JOIN task AS t ON t.task_id = e.task_id
  LEFT JOIN job AS j ON j.job_id = e.job_id
  LEFT JOIN attempt AS a ON a.attempt_id = j.last_attempt
 ORDER BY e.task_id
 LIMIT :limit;
