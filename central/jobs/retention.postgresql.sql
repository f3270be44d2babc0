-- name: still_ended
-- Return the jobs to remove that nobody has rescheduled since, and whose results no other task has
-- reused lately. A run of a CWL document needs its jobs until it ends.
SELECT j.job_id, j.class_id, j.state, j.submission_id, j.deleted
  FROM json_array_elements(:jobs::json) AS g(value)
  JOIN job AS j ON j.job_id = (g.value ->> 0)::bigint
 WHERE j.state IN ('Done', 'Failed', 'Killed') AND j.ended_at = (g.value ->> 1)::float8
   AND NOT EXISTS (SELECT 1 FROM attempt AS l WHERE l.job_id = j.job_id AND l.live = 1)
   AND NOT EXISTS (SELECT 1 FROM task AS t
                    WHERE t.job_id = j.job_id AND t.is_reused = 1
                      AND t.ended_at >= (g.value ->> 2)::float8)
   AND NOT EXISTS (SELECT 1 FROM cwl_job AS c JOIN cwl_run AS r USING (production_id)
                    WHERE c.job_id = j.job_id AND r.status = '');

-- name: empty_submissions
-- Empty submissions that have no jobs left. Their keys stay for ever.
UPDATE submission SET template = NULL, job_name = NULL
 WHERE submission_id IN (SELECT json_array_elements_text(:submissions::json)::bigint)
   AND complete = 1
   AND NOT EXISTS (SELECT 1 FROM json_array_elements(submission.ranges::json) AS r(value)
                     JOIN job AS j ON j.job_id BETWEEN (r.value ->> 0)::bigint
                          AND (r.value ->> 0)::bigint + (r.value ->> 1)::bigint - 1);

-- name: outputs_between
SELECT convert_to(outputs, 'utf8') FROM attempt
 WHERE attempt_id BETWEEN :first AND :last AND outputs IS NOT NULL AND outputs <> '[]';
