-- name: move_job
-- Compare-and-set on the state, and on the class if it changes, for jobs without a live attempt.
-- Deleted jobs do not change.
UPDATE job
   SET state = :new, reason = CASE WHEN :new::text = :old::text THEN reason ELSE :reason END,
       ended_at = :ended_at, round = round + :new_round::bigint,
       class_id = CASE WHEN :new_class::bigint = 0 THEN class_id ELSE :new_class::bigint END,
       priority = coalesce(:priority::bigint, priority),
       failures = CASE WHEN :new_round = 1 THEN 0 ELSE failures END,
       losses = CASE WHEN :new_round = 1 THEN 0 ELSE losses END,
       queue_until = CASE WHEN :new_round = 1 THEN NULL ELSE queue_until END
 WHERE job_id = :job_id AND state = :old AND deleted = 0
   AND (:new_class::bigint = 0 OR class_id = :old_class::bigint)
   AND NOT EXISTS (SELECT 1 FROM attempt AS l WHERE l.job_id = :job_id AND l.live = 1)
   AND submission_id NOT IN (SELECT submission_id FROM submission WHERE complete = 0)
RETURNING :n::bigint;

-- name: close_last
-- An attempt that is open but not live is always the job's last.
UPDATE attempt SET open = 0
 WHERE attempt_id = (SELECT last_attempt FROM job WHERE job_id = :job_id)
   AND open = 1 AND live = 0;

-- name: task_has_outputs
-- The task of a job that was killed after its outputs were published: it is Done, so that no other
-- task makes them again from the same inputs.
UPDATE task_end SET state = 'Done'
 WHERE task_id = (SELECT task_id FROM job WHERE job_id = :job_id) AND job_id = :job_id;

-- name: delete_job
UPDATE job SET deleted = 1
 WHERE job_id = :job_id AND deleted = 0 AND state IN ('Done', 'Failed', 'Killed')
RETURNING :n::bigint;

-- name: set_priority
UPDATE job SET priority = :priority
 WHERE job_id = :job_id AND deleted = 0 AND state NOT IN ('Done', 'Failed', 'Killed')
   AND submission_id NOT IN (SELECT submission_id FROM submission WHERE complete = 0)
RETURNING :n::bigint;

-- name: insert_note
INSERT INTO note (job_id, at, who, event, detail) VALUES (:job_id, :at, :who, :event, :detail);

-- name: notes
-- Return the newest notes, sorted from old to new.
SELECT job_id, at, who, event, detail
  FROM (SELECT note_id, job_id, at, who, event, detail FROM note
         WHERE job_id = :job_id ORDER BY note_id DESC LIMIT :limit) AS newest
 ORDER BY note_id;

-- name: bodies
SELECT j.job_id, j.submission_id, b.body, j.round, j.retries, j.failures, j.losses
  FROM json_each(:ids) AS i
 CROSS JOIN job AS j ON j.job_id = i.value::bigint
 CROSS JOIN body AS b ON b.job_id = j.job_id
 WHERE j.submission_id NOT IN (SELECT submission_id FROM submission WHERE complete = 0);

-- name: body_to_run
-- ?1 job: the same for one job, with a body of any length.
SELECT j.job_id, j.submission_id, b.body, j.round, j.retries, j.failures, j.losses
  FROM job AS j
 CROSS JOIN body AS b ON b.job_id = j.job_id
 WHERE j.job_id = ?1;

-- name: get_template
SELECT template FROM submission WHERE submission_id = :submission_id;

-- name: tasks_of_jobs
-- It also finds tasks of deleted jobs. The inner query finds each by its index, also where the
-- database does not know yet how many tasks there are.
SELECT t.job_id, t.task_id, t.transformation_id, t.number
  FROM json_each(:ids) AS i
 CROSS JOIN task AS t
    ON t.task_id = (SELECT x.task_id FROM task AS x
                     WHERE x.job_id = i.value::bigint AND x.is_reused = 0 LIMIT 1);
