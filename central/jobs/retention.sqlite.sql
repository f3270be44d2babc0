-- name: still_ended
-- Return the jobs to remove that nobody has rescheduled since, and whose results no other task has
-- reused lately. A run of a CWL document needs its jobs until it ends.
SELECT j.job_id, j.class_id, j.state, j.submission_id, j.deleted
  FROM json_each(:jobs) AS g
 CROSS JOIN job AS j ON j.job_id = g.value ->> 0
 WHERE j.state IN ('Done', 'Failed', 'Killed') AND j.ended_at = g.value ->> 1
   AND NOT EXISTS (SELECT 1 FROM attempt AS l WHERE l.job_id = j.job_id AND l.live = 1)
   AND NOT EXISTS (SELECT 1 FROM task AS t
                    WHERE t.job_id = j.job_id AND t.is_reused = 1
                      AND t.ended_at >= g.value ->> 2)
   AND NOT EXISTS (SELECT 1 FROM cwl_job AS c JOIN cwl_run AS r USING (production_id)
                    WHERE c.job_id = j.job_id AND r.status = '');

-- name: empty_submissions
-- Empty submissions that have no jobs left. Their keys stay for ever.
UPDATE submission SET template = NULL, job_name = NULL
 WHERE submission_id IN (SELECT value FROM json_each(:submissions)) AND complete = 1
   AND NOT EXISTS (SELECT 1 FROM json_each(submission.ranges) AS r
                    CROSS JOIN job AS j ON j.job_id BETWEEN r.value ->> 0
                                            AND (r.value ->> 0) + (r.value ->> 1) - 1);

-- name: outputs_between
SELECT CAST(outputs AS BLOB) FROM attempt
 WHERE attempt_id BETWEEN :first AND :last AND outputs IS NOT NULL AND outputs <> '[]';
