-- Frequent statements take numbered parameters, in the order that their comment gives.

-- columns: grant
-- The resources that a match assigns to an attempt, in the order of the fields of `Grant`.
cores::bigint, memory_mb::bigint, scratch_mb::bigint, wall_s::float8, gpus::bigint,
charged_cores::float8, amounts::text;

-- name: insert_attempt
-- Compare-and-set (PROTOCOL C1): the job must be Waiting with the previous epoch, and with the needs
-- that were matched. The unique index on jobs of live attempts refuses a second one.
INSERT INTO attempt (attempt_id, job_id, epoch, round, previous, pilot, session, ask, site_id,
                     element, host, state, live, open, matched_at, lease_s, {grant})
  WITH v AS EACH (attempt_id::bigint, job_id::bigint, class_id::bigint, epoch::bigint, pilot::text,
                  session::bigint, ask::bigint, site_id::bigint, element::text, host::text,
                  at::float8, lease_s::float8, {grant::type})
SELECT v.attempt_id, v.job_id, v.epoch, j.round, j.last_attempt, v.pilot, v.session, v.ask,
       v.site_id, v.element, v.host, 'Matched', 1, 1, v.at, v.lease_s, {v.grant}
  FROM v CROSS JOIN job AS j ON j.job_id = v.job_id
 WHERE j.state = 'Waiting' AND j.epoch = v.epoch - 1 AND j.class_id = v.class_id
   AND EXISTS (SELECT 1 FROM submission AS u
                WHERE u.submission_id = j.submission_id AND u.complete = 1)
    ON CONFLICT DO NOTHING;

-- name: attempts_written
SELECT attempt_id FROM attempt WHERE attempt_id IN (SELECT value::bigint FROM json_each(?1));

-- name: close_previous
-- ?1 attempt: the attempt before it no longer counts.
UPDATE attempt SET open = 0
 WHERE attempt_id = (SELECT previous FROM attempt WHERE attempt_id = ?1) AND open = 1;

-- name: start_attempt
-- ?1 attempt, ?2 job, ?3 at, ?4 isolation
UPDATE attempt SET state = 'Running', started_at = ?3, isolation = ?4
 WHERE attempt_id = ?1 AND job_id = ?2 AND live = 1 AND state = 'Matched'
RETURNING 1;

-- name: take_back
-- PROTOCOL C10: make the open attempt of the last epoch live again, while its job waits.
UPDATE attempt
   SET live = 1, state = 'Running', started_at = coalesce(started_at, :at::float8), ended_at = NULL,
       how = NULL, event = '', reason = ''
 WHERE attempt_id = :attempt_id AND job_id = :job_id AND open = 1 AND live = 0
   AND EXISTS (SELECT 1 FROM job
                WHERE job_id = :job_id AND state = 'Waiting' AND last_attempt = :attempt_id)
   AND NOT EXISTS (SELECT 1 FROM attempt AS l WHERE l.job_id = :job_id AND l.live = 1)
RETURNING 1;

-- name: leave_attempt
-- ?1 attempt, ?2 job, ?3 epoch, ?4 how, ?5 detail, ?6 isolation, ?7 usage, ?8 outputs.
-- The attempt is adrift: its lease has ended. The next match would close it as well.
UPDATE attempt
   SET open = 0, how = ?4, detail = ?5,
       isolation = CASE WHEN ?6::text = '' THEN isolation ELSE ?6::text END, usage = ?7,
       outputs = ?8
 WHERE attempt_id = ?1 AND job_id = ?2 AND epoch = ?3 AND open = 1 AND live = 0
RETURNING 1;

-- name: end_attempt
-- ?1 attempt, ?2 job, ?3 epoch, ?4 at, ?5 how, ?6 exit code, ?7 event, ?8 reason, ?9 detail,
-- ?10 isolation, ?11 usage, ?12 outputs, ?13 started_at.
-- PROTOCOL C9: the attempt must be open (hence of the last epoch), without an acknowledged kill.
-- The row of a job with a live attempt says Waiting. An attempt adrift counts only while its job
-- still waits.
UPDATE attempt
   SET live = 0, state = NULL, open = 0, ended_at = ?4, how = ?5, exit_code = ?6, event = ?7,
       reason = ?8, detail = ?9,
       isolation = CASE WHEN ?10::text = '' THEN isolation ELSE ?10::text END,
       usage = ?11, outputs = ?12, started_at = coalesce(started_at, ?13::float8)
 WHERE attempt_id = ?1 AND job_id = ?2 AND epoch = ?3 AND open = 1
   AND wanted IS DISTINCT FROM 'kill'
   AND (live = 1 OR EXISTS (SELECT 1 FROM job WHERE job_id = ?2 AND state = 'Waiting'))
RETURNING 1;

-- name: end_job
-- ?1 job, ?2 new state, ?3 epoch, ?4 attempt, ?5 failures more, ?6 losses more, ?7 reason,
-- ?8 ended_at. Without failures, this is the only update of a job's row.
UPDATE job
   SET state = ?2, epoch = ?3, last_attempt = ?4, failures = failures + ?5::bigint,
       losses = losses + ?6::bigint, reason = ?7, ended_at = ?8,
       site_id = (SELECT site_id FROM attempt WHERE attempt_id = ?4)
 WHERE job_id = ?1 AND state = 'Waiting'
RETURNING 1;

-- name: want
UPDATE attempt SET wanted = :wanted, reason = :reason
 WHERE attempt_id = :attempt_id AND job_id = :job_id AND live = 1 AND wanted IS DISTINCT FROM 'kill'
RETURNING :n::bigint;

-- name: insert_evidence
INSERT INTO evidence (job_id, epoch, at, pilot, why, report)
SELECT :job_id::bigint, :epoch::bigint, :at::float8, :pilot::text, :why::text, :report::bytea
 WHERE (SELECT count(*) FROM evidence
         WHERE job_id = :job_id AND epoch = :epoch AND pilot = :pilot) < :most::bigint;

-- name: evidence
SELECT job_id, epoch, at, pilot, why, report FROM evidence
 WHERE job_id = :job_id ORDER BY evidence_id;

-- name: attempts
WITH RECURSIVE chain (attempt_id) AS (
    SELECT coalesce((SELECT attempt_id FROM attempt WHERE job_id = :job_id AND live = 1),
                    (SELECT last_attempt FROM job WHERE job_id = :job_id))
    UNION ALL
    SELECT a.previous FROM chain JOIN attempt AS a USING (attempt_id)
)
SELECT a.attempt_id, a.job_id, a.epoch, a.round, a.pilot, a.session, a.ask, s.site, a.element,
       a.host, a.state, a.live, a.open, a.wanted, a.matched_at, a.started_at, a.ended_at, a.how,
       a.exit_code, a.detail, a.isolation, a.usage, a.outputs, a.progress, a.event, a.reason,
       a.lease_s, {a.grant}
  FROM chain JOIN attempt AS a USING (attempt_id) JOIN site AS s USING (site_id)
 ORDER BY a.epoch;

-- name: live_attempts
SELECT a.attempt_id, a.job_id, a.epoch, a.round, j.class_id, j.priority, a.pilot, a.session, a.ask,
       s.site, a.element, a.started_at IS NOT NULL, a.wanted, j.retries, j.failures, j.losses,
       j.queue_until, c.community, a.matched_at, a.live, a.reason, a.lease_s,
       {a.grant}
  FROM (SELECT attempt_id, job_id FROM attempt INDEXED BY attempt_live WHERE live = 1
        UNION ALL
        SELECT attempt_id, job_id FROM attempt INDEXED BY attempt_adrift
         WHERE open = 1 AND live = 0) AS o
 CROSS JOIN attempt AS a ON a.attempt_id = o.attempt_id
 CROSS JOIN job AS j ON j.job_id = o.job_id
 CROSS JOIN class AS c ON c.class_id = j.class_id
 CROSS JOIN site AS s ON s.site_id = a.site_id
 WHERE j.state = 'Waiting'
 ORDER BY o.job_id;

-- name: attempts_of_jobs
WITH RECURSIVE chain (attempt_id) AS (
    SELECT coalesce((SELECT attempt_id FROM attempt WHERE job_id = w.value::bigint AND live = 1),
                    (SELECT last_attempt FROM job WHERE job_id = w.value::bigint))
      FROM json_each(:ids) AS w
    UNION ALL
    SELECT a.previous FROM chain JOIN attempt AS a USING (attempt_id)
)
SELECT a.attempt_id, a.job_id, a.epoch, a.round, a.pilot, a.session, a.ask, s.site, a.element,
       a.host, a.state, a.live, a.open, a.wanted, a.matched_at, a.started_at, a.ended_at, a.how,
       a.exit_code, a.detail, a.isolation, a.usage, a.outputs, a.progress, a.event, a.reason,
       a.lease_s, {a.grant}
  FROM chain JOIN attempt AS a USING (attempt_id) JOIN site AS s USING (site_id)
 ORDER BY a.job_id, a.epoch;
