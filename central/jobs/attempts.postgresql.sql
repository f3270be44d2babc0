-- name: add_progress
-- Keep the newest hundred entries.
UPDATE attempt
   SET progress = (
       SELECT '[' || string_agg(p.entry, ',' ORDER BY p.n) || ']'
         FROM (SELECT o.entry, o.n FROM json_array_elements(coalesce(progress, '[]')::json)
                      WITH ORDINALITY AS e(value, n), LATERAL (SELECT e.value::text, e.n) AS o(entry, n)
                WHERE o.n > json_array_length(coalesce(progress, '[]')::json) - 99
               UNION ALL SELECT :entry::text, 1000000) AS p)
 WHERE attempt_id = :attempt_id AND job_id = :job_id AND live = 1
RETURNING 1;

-- name: requeue_attempt
-- $1 attempt, $2 job, $3 epoch, $4 wanted as we knew it, $5 stays open, $6 at, $7 how, $8 event,
-- $9 reason, $10 detail, $11 isolation, $12 usage, $13 outputs
UPDATE attempt
   SET live = 0, state = NULL, open = $5, ended_at = $6, how = $7, event = $8, reason = $9,
       detail = $10, isolation = CASE WHEN $11::text = '' THEN isolation ELSE $11::text END,
       usage = $12, outputs = $13
 WHERE attempt_id = $1 AND job_id = $2 AND epoch = $3 AND live = 1
   AND wanted IS NOT DISTINCT FROM $4
RETURNING 1;

-- name: start_attempt_together
-- This and the next two statements handle many rows, with an array for each column. Each job comes
-- once. It says `live > 0`, because with `live = 1` the planner would use the index of all live
-- attempts before the first ANALYZE.
UPDATE attempt AS a SET state = 'Running', started_at = v.at, isolation = v.isolation
  FROM unnest($1::bigint[], $2::bigint[], $3::float8[], $4::text[])
       AS v (attempt_id, job_id, at, isolation)
 WHERE a.attempt_id = v.attempt_id AND a.job_id = v.job_id AND a.live > 0 AND a.state = 'Matched';

-- name: end_attempt_together
UPDATE attempt AS a
   SET live = 0, state = NULL, open = 0, ended_at = v.at, how = v.how, exit_code = v.exit_code,
       event = v.event, reason = v.reason, detail = v.detail,
       isolation = CASE WHEN v.isolation = '' THEN a.isolation ELSE v.isolation END,
       usage = v.usage, outputs = v.outputs, started_at = coalesce(a.started_at, v.started_at)
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::float8[], $5::text[], $6::bigint[],
              $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
              $13::float8[])
       AS v (attempt_id, job_id, epoch, at, how, exit_code, event, reason, detail, isolation, usage,
             outputs, started_at)
 WHERE a.attempt_id = v.attempt_id AND a.job_id = v.job_id AND a.epoch = v.epoch AND a.open = 1
   AND a.wanted IS DISTINCT FROM 'kill'
   AND (a.live = 1
        OR EXISTS (SELECT 1 FROM job AS j WHERE j.job_id = v.job_id AND j.state = 'Waiting'));

-- name: end_job_together
UPDATE job AS j
   SET state = v.state, epoch = v.epoch, last_attempt = v.attempt_id,
       failures = j.failures + v.failures, losses = j.losses + v.losses, reason = v.reason,
       ended_at = v.ended_at,
       site_id = (SELECT a.site_id FROM attempt AS a WHERE a.attempt_id = v.attempt_id)
  FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
              $7::text[], $8::float8[])
       AS v (job_id, state, epoch, attempt_id, failures, losses, reason, ended_at)
 WHERE j.job_id = v.job_id AND j.state = 'Waiting';
