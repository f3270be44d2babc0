-- name: standing
SELECT j.job_id, coalesce(l.state, j.state), coalesce(l.epoch, j.epoch), j.round, j.class_id,
       j.priority, j.retries, j.failures, j.losses, j.queue_until, a.attempt_id,
       l.attempt_id IS NOT NULL, a.wanted, j.deleted, a.pilot, a.session, coalesce(s.site, '')
  FROM json_each(:ids) AS i
 CROSS JOIN job AS j ON j.job_id = i.value
  LEFT JOIN attempt AS l ON l.job_id = j.job_id AND l.live = 1
  LEFT JOIN attempt AS a ON a.attempt_id = coalesce(l.attempt_id, j.last_attempt) AND a.open = 1
  LEFT JOIN site AS s ON s.site_id = coalesce(l.site_id, j.site_id)
 WHERE j.submission_id NOT IN (SELECT submission_id FROM submission WHERE complete = 0);

-- name: bodies_to_run
-- ?1 ids. For matches, which check themselves that submissions are complete. The result is one row
-- of JSON, without long bodies.
SELECT json_group_array(json_array(
           j.job_id, j.submission_id, CASE WHEN length(b.body) <= 4096 THEN hex(b.body) END,
           j.round, j.retries, j.failures, j.losses))
  FROM json_each(?1) AS i
 CROSS JOIN job AS j ON j.job_id = i.value
 CROSS JOIN body AS b ON b.job_id = j.job_id;
