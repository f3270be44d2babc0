-- name: standing
SELECT j.job_id, coalesce(l.state, j.state), coalesce(l.epoch, j.epoch), j.round, j.class_id,
       j.priority, j.retries, j.failures, j.losses, j.queue_until, a.attempt_id,
       l.attempt_id IS NOT NULL, a.wanted, j.deleted, a.pilot, a.session, coalesce(s.site, '')
  FROM json_array_elements_text(:ids::json) WITH ORDINALITY AS i(value, place)
  JOIN job AS j ON j.job_id = i.value::bigint
  LEFT JOIN attempt AS l ON l.job_id = j.job_id AND l.live = 1
  LEFT JOIN attempt AS a ON a.attempt_id = coalesce(l.attempt_id, j.last_attempt) AND a.open = 1
  LEFT JOIN site AS s ON s.site_id = coalesce(l.site_id, j.site_id)
 WHERE j.submission_id NOT IN (SELECT submission_id FROM submission WHERE complete = 0)
 ORDER BY i.place;

-- name: bodies_to_run
-- $1 ids. For matches, which check themselves that submissions are complete. The result is one row
-- of JSON, without long bodies.
SELECT coalesce(json_agg(json_build_array(
           j.job_id, j.submission_id,
           CASE WHEN length(b.body) <= 4096 THEN encode(b.body, 'hex') END,
           j.round, j.retries, j.failures, j.losses)), '[]')
  FROM json_array_elements_text($1::json) AS i(value)
  JOIN job AS j ON j.job_id = i.value::bigint
  JOIN body AS b ON b.job_id = j.job_id;

-- name: move_job_together
-- `move_job` over many jobs, each of which comes once, with an array for each column.
UPDATE job AS j
   SET state = v.new, reason = CASE WHEN v.new = v.old THEN j.reason ELSE v.reason END,
       ended_at = v.ended_at, round = j.round + v.new_round,
       class_id = CASE WHEN v.new_class = 0 THEN j.class_id ELSE v.new_class END,
       priority = coalesce(v.priority, j.priority),
       failures = CASE WHEN v.new_round = 1 THEN 0 ELSE j.failures END,
       losses = CASE WHEN v.new_round = 1 THEN 0 ELSE j.losses END,
       queue_until = CASE WHEN v.new_round = 1 THEN NULL ELSE j.queue_until END
  FROM unnest(:job_id::bigint[], :old::text[], :new::text[], :reason::text[], :ended_at::float8[],
              :new_round::bigint[], :old_class::bigint[], :new_class::bigint[],
              :priority::bigint[], :n::bigint[])
       AS v (job_id, old, new, reason, ended_at, new_round, old_class, new_class, priority, n)
 WHERE j.job_id = v.job_id AND j.state = v.old AND j.deleted = 0
   AND (v.new_class = 0 OR j.class_id = v.old_class)
   AND (SELECT l.live FROM attempt AS l WHERE l.job_id = v.job_id AND l.live = 1) IS NULL
   AND j.submission_id NOT IN (SELECT submission_id FROM submission WHERE complete = 0)
RETURNING v.n;

-- name: close_last_together
-- `close_last` and `insert_note` over many jobs, with an array for each column.
UPDATE attempt AS a SET open = 0
  FROM unnest(:job_id::bigint[]) AS v (job_id)
 WHERE a.attempt_id = (SELECT j.last_attempt FROM job AS j WHERE j.job_id = v.job_id)
   AND a.open = 1 AND a.live = 0;

-- name: insert_note_together
INSERT INTO note (job_id, at, who, event, detail)
SELECT * FROM unnest(:job_id::bigint[], :at::float8[], :who::text[], :event::text[],
                     :detail::text[]);
