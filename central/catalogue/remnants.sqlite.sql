-- name: remove_storing_of_jobs
DELETE FROM storing WHERE job_id IN (SELECT value FROM json_each(:ids));

-- name: forget_storing
-- Jobs that were never stored, or are deleted.
DELETE FROM storing
 WHERE job_id IN (SELECT value FROM json_each(:ids))
   AND NOT EXISTS (SELECT 1 FROM job AS j WHERE j.job_id = storing.job_id);
