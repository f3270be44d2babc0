-- name: remove_storing_of_jobs
DELETE FROM storing
 WHERE job_id IN (SELECT value::bigint FROM json_array_elements_text(:ids::json));

-- name: forget_storing
-- Jobs that were never stored, or are deleted.
DELETE FROM storing
 WHERE job_id IN (SELECT value::bigint FROM json_array_elements_text(:ids::json))
   AND NOT EXISTS (SELECT 1 FROM job AS j WHERE j.job_id = storing.job_id);

-- name: share_paths
-- Taken by transactions that name paths. They and those that mark paths wait for each other.
SELECT pg_advisory_xact_lock_shared(
    70124, hashtext(current_database() || '.' || current_schema())
);

-- name: have_paths
SELECT pg_advisory_xact_lock(
    70124, hashtext(current_database() || '.' || current_schema())
);

-- name: storing_seen_together
-- `storing_seen` over many jobs, each of which comes once, with an array for each column.
UPDATE storing AS s SET pending = 0, epoch = v.epoch
  FROM unnest(:job_id::bigint[], :epoch::bigint[]) AS v (job_id, epoch)
 WHERE s.job_id = v.job_id;
