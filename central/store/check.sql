-- What `pilotage doctor --store` compares with the rows. Each statement returns one text for each
-- difference. A correct store returns none.

-- name: check_bodies
SELECT format('job %s has no body', j.job_id) FROM job AS j
 WHERE NOT EXISTS (SELECT 1 FROM body AS b WHERE b.job_id = j.job_id)
UNION ALL
SELECT format('body %s has no job', b.job_id) FROM body AS b
 WHERE NOT EXISTS (SELECT 1 FROM job AS j WHERE j.job_id = b.job_id)
 LIMIT :limit;

-- name: check_attempts_of_jobs
SELECT format('attempt %s belongs to job %s, which does not exist', a.attempt_id, a.job_id)
  FROM attempt AS a
 WHERE NOT EXISTS (SELECT 1 FROM job AS j WHERE j.job_id = a.job_id)
 LIMIT :limit;

-- name: check_epochs
-- The attempts of a job have the epochs 1, 2, … without a gap.
SELECT format('job %s: its %s attempts have epochs %s to %s', job_id, count(*), min(epoch),
              max(epoch))
  FROM attempt
 GROUP BY job_id
HAVING min(epoch) <> 1 OR max(epoch) <> count(*) OR count(DISTINCT epoch) <> count(*)
UNION ALL
SELECT format('attempt %s of job %s: its predecessor %s does not have epoch %s of the job',
              a.attempt_id, a.job_id, a.previous, a.epoch - 1)
  FROM attempt AS a LEFT JOIN attempt AS p ON p.attempt_id = a.previous
 WHERE (a.previous IS NULL) <> (a.epoch = 1)
    OR (a.previous IS NOT NULL
        AND (p.job_id IS DISTINCT FROM a.job_id OR p.epoch IS DISTINCT FROM a.epoch - 1))
 LIMIT :limit;

-- name: check_last_attempts
SELECT format('job %s is at epoch %s, but its last attempt %s is at %s', j.job_id, j.epoch,
              j.last_attempt, coalesce(a.epoch, 0))
  FROM job AS j LEFT JOIN attempt AS a ON a.attempt_id = j.last_attempt
 WHERE j.last_attempt IS NOT NULL
   AND (a.job_id IS DISTINCT FROM j.job_id OR a.epoch IS DISTINCT FROM j.epoch)
UNION ALL
SELECT format('job %s is counted at another site than its last attempt was', j.job_id)
  FROM job AS j JOIN attempt AS a ON a.attempt_id = j.last_attempt
 WHERE j.site_id IS DISTINCT FROM a.site_id
 LIMIT :limit;

-- name: check_results
-- Promise P4.
SELECT format('job %s has %s results in round %s', job_id, count(*), round)
  FROM attempt WHERE event IN ('succeeded', 'payload_failed')
 GROUP BY job_id, round HAVING count(*) > 1
UNION ALL
SELECT format('job %s is %s, but its last attempt ended by %s', j.job_id, j.state, a.event)
  FROM job AS j LEFT JOIN attempt AS a ON a.attempt_id = j.last_attempt
 WHERE (j.state = 'Done' AND a.event IS DISTINCT FROM 'succeeded')
    OR (j.state = 'Failed' AND j.epoch > 0 AND a.event = 'succeeded'
        AND NOT EXISTS (SELECT 1 FROM note AS n
                         WHERE n.job_id = j.job_id AND n.event = 'not_published'))
 LIMIT :limit;

-- name: check_counters
SELECT format('counter %s is at %s, but %s is in use', name, next, used)
  FROM (SELECT c.name, c.next,
               CASE c.name WHEN 'job' THEN (SELECT max(job_id) FROM job)
                           WHEN 'attempt' THEN (SELECT max(attempt_id) FROM attempt)
                           WHEN 'submission' THEN (SELECT max(submission_id) FROM submission)
                           WHEN 'file' THEN (SELECT max(file_id) FROM file)
                           WHEN 'file_change' THEN (SELECT max(seq) FROM file)
                           WHEN 'dataset' THEN (SELECT max(dataset_id) FROM dataset)
                           WHEN 'rule' THEN (SELECT max(rule_id) FROM rule)
                           WHEN 'transfer' THEN (SELECT max(transfer_id) FROM transfer)
                           WHEN 'remnant' THEN (SELECT max(remnant_id) FROM remnant)
                           WHEN 'sweep' THEN (SELECT max(sweep_id) FROM sweep)
                           WHEN 'outbox' THEN (SELECT max(entry_id) FROM outbox)
               END AS used
          FROM counter AS c) AS n
 WHERE used >= next
 LIMIT :limit;

-- name: check_orphans
SELECT format('note %s belongs to job %s, which does not exist', n.note_id, n.job_id) FROM note AS n
 WHERE NOT EXISTS (SELECT 1 FROM job AS j WHERE j.job_id = n.job_id)
UNION ALL
SELECT format('dependent %s is no job', d.job_id) FROM dependent AS d
 WHERE NOT EXISTS (SELECT 1 FROM job AS j WHERE j.job_id = d.job_id)
UNION ALL
SELECT format('job %s waits for job %s, which did not come before it', e.job_id,
              e.first + e.count - 1)
  FROM dependency AS e
 WHERE e.first + e.count > e.job_id
    OR NOT EXISTS (SELECT 1 FROM dependent AS d WHERE d.job_id = e.job_id)
UNION ALL
SELECT format('attempt %s is at a site that does not exist', a.attempt_id) FROM attempt AS a
 WHERE NOT EXISTS (SELECT 1 FROM site AS s WHERE s.site_id = a.site_id)
UNION ALL
SELECT format('a series has no name: key %s', s.key_id) FROM series AS s
 WHERE NOT EXISTS (SELECT 1 FROM series_key AS k WHERE k.key_id = s.key_id)
 LIMIT :limit;

-- name: schema_number
SELECT max(number) FROM migration;

-- name: newest_moment
-- The newest time in any row. The present time should be later.
SELECT max(at) FROM (SELECT max(at) AS at FROM submission
                     UNION ALL SELECT max(at) FROM series_slot WHERE step_s = 10
                     UNION ALL SELECT max(at) FROM levels) AS n;

-- name: count_jobs
SELECT count(*) FROM job;
