-- name: insert_transformation
INSERT INTO transformation (transformation_id, community, group_name, owner_id, name, state,
                            parent_id, tasks_wanted, scouts_until, priority, made_at, changed_at,
                            doc)
VALUES (:transformation_id, :community, :group, :owner_id, :name, :state,
        :parent_id, :tasks_wanted, :scouts_until, :priority, :at, :at, :doc);

-- name: transformation_named
SELECT transformation_id, community, group_name, owner_id, name, state, reason, doc, parent_id,
       tasks_wanted, tasks_made, scouts_until, scouted, closing, flushing, seeded, seed_place,
       made_at, changed_at, judged_from, priority
  FROM transformation
 WHERE community = :community AND name = :name AND state NOT IN ('Archived', 'Cleaned');

-- name: transformations
SELECT transformation_id, community, group_name, owner_id, name, state, reason, doc, parent_id,
       tasks_wanted, tasks_made, scouts_until, scouted, closing, flushing, seeded, seed_place,
       made_at, changed_at, judged_from, priority
  FROM transformation
 WHERE transformation_id > :after
   AND (:community::text IS NULL OR community = :community)
   AND (:states::text IS NULL OR state IN (SELECT value FROM json_each(:states)))
 ORDER BY transformation_id
 LIMIT :limit;

-- name: move_transformation
UPDATE transformation
   SET state = :new, reason = :reason, changed_at = :at::float8,
       closing = coalesce(:closing::bigint, closing),
       seeded = CASE WHEN :seed_anew::bigint = 1 THEN 0 ELSE seeded END,
       seed_place = CASE WHEN :seed_anew::bigint = 1 THEN '' ELSE seed_place END,
       judged_from = CASE WHEN :judge_anew::bigint = 1 THEN :at::float8 ELSE judged_from END,
       scouts_until = coalesce(:scouts_until::bigint, scouts_until),
       scouted = coalesce(:scouted::bytea, scouted)
 WHERE transformation_id = :transformation_id AND state = :old;

-- name: extend_transformation
UPDATE transformation SET tasks_wanted = :new, changed_at = :at
 WHERE transformation_id = :transformation_id AND tasks_wanted = :old AND :new >= tasks_made;

-- name: set_flushing
UPDATE transformation SET flushing = :flushing WHERE transformation_id = :transformation_id;

-- name: set_seeded
UPDATE transformation SET seed_place = :place, seeded = :is_end
 WHERE transformation_id = :transformation_id AND seeded = 0;

-- name: insert_input
-- ?1 transformation, ?2 file, ?3 input, ?4 state, ?5 at, ?6 files_max
INSERT INTO input (transformation_id, file_id, input_no, state, changed_at)
SELECT ?1::bigint, ?2::bigint, ?3::bigint, ?4::text, ?5::float8
 WHERE ?6::bigint = 0
    OR ?6::bigint > (SELECT coalesce(sum(files), 0) FROM input_count
                      WHERE transformation_id = ?1::bigint AND input_no = ?3::bigint)
    ON CONFLICT DO NOTHING
RETURNING ?7::bigint;

-- name: get_looked
SELECT seq FROM transformation_look WHERE community = :community;

-- name: take_numbers
-- The WHERE clause is the lock: a writer that has not seen the latest tasks makes none.
UPDATE transformation SET tasks_made = tasks_made + :count::bigint
 WHERE transformation_id = :transformation_id AND tasks_made = :made
   AND state IN ('Active', 'Completing')
   AND (tasks_wanted = 0 OR tasks_made + :count::bigint <= tasks_wanted)
   AND (scouts_until = 0 OR tasks_made + :count::bigint <= scouts_until);

-- name: assign_input
-- ?1 transformation, ?2 file, ?3 input, ?4 task, ?5 at. It runs row by row: joined with a list, the
-- planner may walk the list for each input.
UPDATE input SET state = 'Assigned', task_id = ?4, changed_at = ?5, inherited = 0
 WHERE transformation_id = ?1 AND file_id = ?2 AND input_no = ?3 AND state = 'Unused';

-- name: mark_jobs_of_tasks
-- ?1 the first task, ?2 first job, ?3 how many
UPDATE job SET task_id = ?1::bigint + (job_id - ?2::bigint)
 WHERE job_id BETWEEN ?2::bigint AND ?2::bigint + ?3::bigint - 1;

-- name: known_results
-- The jobs of Done tasks that have these recipes, the last first. Those of cleaned transformations
-- are only there while another task reuses them.
SELECT t.recipe, t.job_id
  FROM json_each(:recipes) AS r
 CROSS JOIN task AS t ON t.recipe = r.value
 CROSS JOIN job AS j ON j.job_id = t.job_id
 WHERE t.state = 'Done' AND j.state = 'Done'
   AND EXISTS (SELECT 1 FROM task AS o
                 JOIN transformation AS r ON r.transformation_id = o.transformation_id
                WHERE o.job_id = j.job_id AND r.state NOT IN ('Cleaning', 'Cleaned'))
 ORDER BY t.task_id DESC;

-- name: count_done_jobs
SELECT count(*)
  FROM json_each(:jobs) AS w
 CROSS JOIN job AS j ON j.job_id = w.value::bigint
 WHERE j.state = 'Done'
   AND EXISTS (SELECT 1 FROM task AS o
                 JOIN transformation AS r ON r.transformation_id = o.transformation_id
                WHERE o.job_id = j.job_id AND r.state NOT IN ('Cleaning', 'Cleaned'));

-- name: process_input
-- ?1 transformation, ?2 file, ?3 input, ?4 task, ?5 at
UPDATE input SET state = 'Processed', task_id = ?4, changed_at = ?5, inherited = 0
 WHERE transformation_id = ?1 AND file_id = ?2 AND input_no = ?3 AND state = 'Unused';

-- name: jobs_of_others
-- Those of the given jobs whose results tasks of other transformations have, or reuse. Most jobs
-- have one task, which is not a reused one.
WITH shared AS MATERIALIZED (
    SELECT DISTINCT t.job_id
      FROM json_each(:jobs) AS w
     CROSS JOIN task AS t ON t.job_id = w.value::bigint AND t.is_reused = 1)
SELECT DISTINCT t.job_id
  FROM shared AS s
 CROSS JOIN task AS t ON t.job_id = s.job_id
 CROSS JOIN transformation AS r ON r.transformation_id = t.transformation_id
 WHERE r.state NOT IN ('Cleaning', 'Cleaned')
   AND t.transformation_id NOT IN (SELECT value::bigint FROM json_each(:transformations));

-- name: reused_tasks
-- Where the results come from that tasks reuse: transformations, and 0 if the job was removed.
SELECT t.transformation_id, coalesce(o.transformation_id, 0), count(*)
  FROM json_each(:transformations) AS w
 CROSS JOIN task AS t ON t.transformation_id = w.value::bigint
  LEFT JOIN job AS j ON j.job_id = t.job_id
  LEFT JOIN task AS o ON o.task_id = j.task_id
 WHERE t.is_reused = 1
 GROUP BY 1, 2
 ORDER BY 1, 2;

-- name: tasks_not_reused
-- How many tasks were run, with a recipe and without one.
SELECT t.transformation_id, CASE WHEN t.recipe IS NULL THEN 1 ELSE 0 END, count(*)
  FROM json_each(:transformations) AS w
 CROSS JOIN task AS t ON t.transformation_id = w.value::bigint
 WHERE t.is_reused = 0
 GROUP BY 1, 2
 ORDER BY 1, 2;

-- name: inputs_of_tasks
-- The inputs of tasks, at their transformations and at those derived since.
WITH RECURSIVE heir (task_id, transformation_id) AS (
    SELECT t.task_id, t.transformation_id FROM json_each(:tasks) AS w
     CROSS JOIN task AS t ON t.task_id = w.value::bigint
    UNION ALL
    SELECT h.task_id, c.transformation_id FROM heir AS h
     CROSS JOIN transformation AS c ON c.parent_id = h.transformation_id
)
SELECT h.task_id, i.transformation_id, i.file_id, i.input_no, i.errors,
       EXISTS (SELECT 1 FROM transformation AS c
                CROSS JOIN input AS x ON x.transformation_id = c.transformation_id
                  AND x.file_id = i.file_id AND x.input_no = i.input_no
                WHERE c.parent_id = i.transformation_id)
  FROM heir AS h
 CROSS JOIN task_input AS ti ON ti.task_id = h.task_id
 CROSS JOIN input AS i ON i.transformation_id = h.transformation_id AND i.file_id = ti.file_id
 WHERE i.task_id = h.task_id AND i.state = 'Assigned'
 ORDER BY h.task_id, i.transformation_id, i.file_id, i.input_no;

-- name: close_task
-- The column keeps its first name: now it is also 1 if the inputs are retried together.
UPDATE task SET state = :state, reason = :reason, ended_at = :at, is_split = :is_retried::bigint
 WHERE task_id = :task_id AND state = 'Created';

-- name: remove_task_end
DELETE FROM task_end WHERE task_id = :task_id RETURNING :n::bigint;

-- name: move_input
UPDATE input
   SET state = :new, changed_at = :at, replays = replays + :replay::bigint,
       errors = CASE WHEN :no_errors::bigint = 1 THEN 0 ELSE errors + :error::bigint END
 WHERE transformation_id = :transformation_id AND file_id = :file_id AND input_no = :input_no
   AND state = :old::text AND (:old::text <> 'Assigned' OR task_id = :task_id)
RETURNING :n::bigint;

-- name: note_lost_tasks
INSERT INTO task_end (task_id, job_id, state)
SELECT t.task_id, t.job_id, NULL FROM task AS t
 WHERE t.state = 'Created' AND NOT EXISTS (SELECT 1 FROM job AS j WHERE j.job_id = t.job_id)
    ON CONFLICT DO NOTHING;

-- name: last_of_chunk
SELECT file_id, input_no FROM input
 WHERE transformation_id = :parent_id
   AND (file_id, input_no) > (:after_file, :after_input)
 ORDER BY file_id, input_no
 LIMIT 1 OFFSET :skip;

-- name: inherit_inputs
INSERT INTO input (transformation_id, file_id, input_no, state, task_id, inherited, changed_at)
SELECT :child_id::bigint, file_id, input_no,
       CASE WHEN state IN ('Processed', 'Assigned', 'Shared') THEN state ELSE 'Unused' END,
       CASE WHEN state IN ('Processed', 'Assigned') THEN task_id END, 1, :at::float8
  FROM input
 WHERE transformation_id = :parent_id AND state NOT IN ('Removed', 'Moved')
   AND (file_id, input_no) > (:after_file, :after_input)
   AND (file_id, input_no) <= (:last_file, :last_input)
    ON CONFLICT DO NOTHING;

-- name: move_to_heir
UPDATE input SET state = 'Moved', changed_at = :at
 WHERE transformation_id = :parent_id
   AND (file_id, input_no) > (:after_file, :after_input)
   AND (file_id, input_no) <= (:last_file, :last_input)
   AND state IN ('Unused', 'Stuck', 'Problematic', 'Missing');

-- name: derived_from
SELECT transformation_id FROM transformation WHERE parent_id = :transformation_id;

-- name: unused_inputs
SELECT file_id, input_no, state, task_id, errors, replays, inherited, changed_at,
       (SELECT number FROM task AS t WHERE t.task_id = input.task_id)
  FROM input
 WHERE transformation_id = :transformation_id AND state = 'Unused'
   AND (file_id, input_no) > (:after_file::bigint, :after_input::bigint)
 ORDER BY file_id, input_no
 LIMIT :limit;

-- name: transformation_inputs
SELECT file_id, input_no, state, task_id, errors, replays, inherited, changed_at,
       (SELECT number FROM task AS t WHERE t.task_id = input.task_id)
  FROM input
 WHERE transformation_id = :transformation_id
   AND (file_id, input_no) > (:after_file::bigint, :after_input::bigint)
   AND (:states::text IS NULL OR state IN (SELECT value FROM json_each(:states)))
 ORDER BY file_id, input_no
 LIMIT :limit;

-- name: transformation_tasks
SELECT task_id, number, job_id, state, reason, made_at, ended_at, is_reused FROM task
 WHERE transformation_id = :transformation_id AND number > :after
   AND (:states::text IS NULL OR state IN (SELECT value FROM json_each(:states)))
 ORDER BY number
 LIMIT :limit;

-- name: last_task_ends
SELECT state FROM task
 WHERE transformation_id = :transformation_id AND ended_at > :since AND is_split = 0
 ORDER BY number DESC
 LIMIT :limit;

-- name: input_counts
SELECT transformation_id, input_no, state, files FROM input_count
 WHERE transformation_id IN (SELECT value::bigint FROM json_each(:ids)) AND files > 0;

-- name: task_counts
SELECT transformation_id, state, tasks FROM task_count
 WHERE transformation_id IN (SELECT value::bigint FROM json_each(:ids)) AND tasks > 0;

-- name: tried_again
WITH again AS (
    SELECT t.transformation_id, t.task_id, t.job_id, t.made_at
      FROM task AS t CROSS JOIN job AS j ON j.job_id = t.job_id
     WHERE t.state = 'Created' AND t.made_at >= :since AND j.state = 'Waiting'
       AND EXISTS (SELECT 1 FROM task_input AS ti
                     JOIN input AS i ON i.transformation_id = t.transformation_id
                                    AND i.file_id = ti.file_id
                    WHERE ti.task_id = t.task_id AND i.task_id = t.task_id AND i.errors > 0)
     ORDER BY t.task_id DESC
     LIMIT :limit
)
SELECT DISTINCT a.transformation_id, a.task_id, a.job_id, a.made_at, i.file_id
  FROM again AS a
  CROSS JOIN task_input AS ti ON ti.task_id = a.task_id
  CROSS JOIN input AS i ON i.transformation_id = a.transformation_id AND i.file_id = ti.file_id
 WHERE i.task_id = a.task_id AND i.state = 'Assigned'
 ORDER BY a.task_id DESC, i.file_id;

-- name: steps_of_transformations
SELECT s.transformation_id, s.production_id, p.name, s.step, p.state
  FROM json_each(:transformations) AS w
 CROSS JOIN production_step AS s ON s.transformation_id = w.value::bigint
 CROSS JOIN production AS p ON p.production_id = s.production_id;
