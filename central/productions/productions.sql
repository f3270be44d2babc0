-- name: insert_production
INSERT INTO production (production_id, community, group_name, owner_id, name, title, state, sha256,
                        priority, rerun_of, made_at, changed_at, rules, details, definition)
VALUES (:production_id, :community, :group, :owner_id, :name, :title, :state, :sha256,
        :priority, :rerun_of, :at, :at, :rules, :details, :definition);

-- name: insert_cwl_run
INSERT INTO cwl_run (production_id) VALUES (:production_id);

-- name: cwl_run
SELECT status, why, outputs FROM cwl_run WHERE production_id = :production_id;

-- name: cwl_statuses
SELECT production_id, status FROM cwl_run
 WHERE production_id IN (SELECT value::bigint FROM json_each(:ids));

-- name: insert_production_step
-- ?1 production, ?2 place, ?3 step, ?4 JSON of its parents' places, ?5 transformation
INSERT INTO production_step (production_id, place, step, parents, transformation_id)
VALUES (?1, ?2, ?3, ?4, ?5);

-- name: correct_production
UPDATE production
   SET title = :title, state = :state, reason = '', sha256 = :sha256, details = :details,
       definition = :definition, changed_at = :at
 WHERE production_id = :production_id AND sha256 = :old_sha256 AND state = :old;

-- name: open_tasks_of
SELECT 1 FROM task_count
 WHERE transformation_id IN (SELECT value::bigint FROM json_each(:ids))
   AND state = 'Created' AND tasks > 0
 LIMIT 1;

-- name: replace_transformations
-- Their names become free.
UPDATE transformation
   SET name = substr(name, 1, 90) || '-until-' || :holder::bigint, state = :state, reason = '',
       changed_at = :at
 WHERE transformation_id IN (SELECT value::bigint FROM json_each(:ids));

-- name: drop_production_steps
DELETE FROM production_step WHERE production_id = :production_id;

-- name: begin_cwl_run_again
UPDATE cwl_run SET status = '', why = '', outputs = NULL WHERE production_id = :production_id;

-- name: production_named
SELECT production_id, community, group_name, owner_id, name, title, state, reason, sha256,
       priority, rerun_of, made_at, changed_at
  FROM production
 WHERE community = :community AND name = :name AND state NOT IN ('Archived', 'Cleaned');

-- name: productions
SELECT production_id, community, group_name, owner_id, name, title, state, reason, sha256,
       priority, rerun_of, made_at, changed_at
  FROM production
 WHERE production_id > :after
   AND (:community::text IS NULL OR community = :community)
   AND (:states::text IS NULL OR state IN (SELECT value FROM json_each(:states)))
 ORDER BY production_id
 LIMIT :limit;

-- name: production_texts
SELECT definition, details, rules FROM production WHERE production_id = :production_id;

-- name: rules_of_transformation
SELECT p.rules FROM production_step AS s
  JOIN production AS p ON p.production_id = s.production_id
 WHERE s.transformation_id = :transformation_id AND p.rules <> '';

-- name: state_of_production
SELECT state FROM production WHERE production_id = :production_id;

-- name: step_stands
-- Finds a step that is still in the state that a move starts from.
SELECT 1 FROM production_step AS s
  JOIN transformation AS t ON t.transformation_id = s.transformation_id
 WHERE s.production_id = :production_id AND t.transformation_id = :transformation_id
   AND t.state = :state;

-- name: step_wants
-- Finds a step that still wants this number of tasks and may want the new number.
SELECT 1 FROM production_step AS s
  JOIN transformation AS t ON t.transformation_id = s.transformation_id
 WHERE s.production_id = :production_id AND t.transformation_id = :transformation_id
   AND t.tasks_wanted = :old AND t.tasks_made <= :new;

-- name: move_production
UPDATE production SET state = :new, reason = :reason, changed_at = :at
 WHERE production_id = :production_id AND state = :old;

-- name: set_production_priority
UPDATE production SET priority = :priority, changed_at = :at WHERE production_id = :production_id;

-- name: set_steps_priority
UPDATE transformation SET priority = :priority
 WHERE transformation_id IN (SELECT s.transformation_id FROM production_step AS s
                              WHERE s.production_id = :production_id);

-- name: running_tasks
-- Walks the live attempts: they are fewer than the tasks that wait.
SELECT t.transformation_id, count(*)
  FROM attempt AS a INDEXED BY attempt_live
 CROSS JOIN job AS j ON j.job_id = a.job_id
 CROSS JOIN task AS t ON t.task_id = j.task_id
 WHERE a.live = 1 AND a.state = 'Running'
   AND t.transformation_id IN (SELECT value::bigint FROM json_each(:transformations))
 GROUP BY t.transformation_id;

-- name: task_means
-- Tasks end almost in order, so the last Done tasks have numbers near the number of ended tasks. So
-- the number of rows that are read is constant.
SELECT t.transformation_id, count(*), avg((a.usage::json ->> 'wall_s')::float8),
       avg((a.usage::json ->> 'cpu_s')::float8), avg((a.usage::json ->> 'memory_peak_mb')::float8)
  FROM (SELECT w.value::bigint AS transformation_id,
               (SELECT coalesce(sum(c.tasks), 0)::bigint FROM task_count AS c
                 WHERE c.transformation_id = w.value::bigint AND c.state <> 'Created') AS ended
          FROM json_each(:transformations) AS w) AS e
 CROSS JOIN task AS t ON t.transformation_id = e.transformation_id
                     AND t.number BETWEEN e.ended - :window::bigint AND e.ended + :window::bigint
 CROSS JOIN job AS j ON j.job_id = t.job_id
 CROSS JOIN attempt AS a ON a.attempt_id = j.last_attempt
 WHERE t.state = 'Done' AND a.usage IS NOT NULL
 GROUP BY t.transformation_id;

-- name: insert_sample
INSERT INTO production_sample (production_id, at, progress, tasks_done)
VALUES (:production_id, :at, :progress, :tasks_done)
    ON CONFLICT DO NOTHING;

-- name: drop_sample
-- ?1 production, ?2 at
DELETE FROM production_sample WHERE production_id = ?1 AND at = ?2;

-- name: samples_of_production
SELECT production_id, at, progress, tasks_done FROM production_sample
 WHERE production_id = :production_id ORDER BY at;

-- name: span_of_documents
-- Ids of documents that name blobs: first of transformations, then of productions.
SELECT coalesce(min(transformation_id), 1), coalesce(max(transformation_id), 0)
  FROM transformation;

-- name: documents_between
SELECT doc FROM transformation
 WHERE transformation_id BETWEEN :first AND :last AND state <> 'Cleaned';

-- name: span_of_definitions
SELECT coalesce(min(production_id), 1), coalesce(max(production_id), 0) FROM production;

-- name: definitions_between
SELECT definition FROM production
 WHERE production_id BETWEEN :first AND :last AND state <> 'Cleaned';
