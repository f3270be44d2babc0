-- name: open_cwl_runs
SELECT r.production_id, p.sha256
  FROM cwl_run AS r JOIN production AS p ON p.production_id = r.production_id
 WHERE r.status = '' AND p.state IN ('Active', 'Paused', 'Stopped')
 ORDER BY r.production_id;

-- name: insert_cwl_job
-- ?1 production, ?2 key, ?3 task, ?4 job
INSERT INTO cwl_job (production_id, key, task_id, job_id) VALUES (?1, ?2, ?3, ?4);

-- name: cwl_jobs
SELECT key, job_id, result FROM cwl_job
 WHERE production_id = :production_id AND key > :after ORDER BY key LIMIT :limit;

-- name: ended_cwl_jobs
SELECT c.key, c.job_id, t.state, t.reason
  FROM cwl_job AS c JOIN task AS t ON t.task_id = c.task_id
 WHERE c.production_id = :production_id AND c.result IS NULL AND t.state <> 'Created'
 ORDER BY c.task_id LIMIT :limit;

-- name: take_cwl_result
-- ?1 production, ?2 key, ?3 result
UPDATE cwl_job SET result = ?3 WHERE production_id = ?1 AND key = ?2 AND result IS NULL;

-- name: end_cwl_run
-- Not if a correction has given the production another definition.
UPDATE cwl_run SET status = :status, why = :why, outputs = :outputs
 WHERE production_id = :production_id AND status = ''
   AND EXISTS (SELECT 1 FROM production AS p
                WHERE p.production_id = :production_id AND p.sha256 = :sha256);

-- name: drop_cwl_jobs
DELETE FROM cwl_job WHERE production_id = :production_id;

-- name: close_steps_of_run
UPDATE transformation SET closing = 1, changed_at = :at
 WHERE transformation_id IN (SELECT transformation_id FROM production_step
                              WHERE production_id = :production_id);
