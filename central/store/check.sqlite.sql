-- name: check_zones
WITH counted AS (
    SELECT class_id, state, job_id >> 10 AS zone, count(*) AS jobs FROM job GROUP BY 1, 2, 3
)
SELECT format('zone %d of class %d, %s: says %d, the rows say %d', zone, class_id, state, said,
              counted)
  FROM (SELECT z.class_id, z.state, z.zone, z.jobs AS said, coalesce(c.jobs, 0) AS counted
          FROM zone AS z LEFT JOIN counted AS c USING (class_id, state, zone)
        UNION ALL
        SELECT c.class_id, c.state, c.zone, 0, c.jobs
          FROM counted AS c LEFT JOIN zone AS z USING (class_id, state, zone)
         WHERE z.jobs IS NULL)
 WHERE said <> counted
 LIMIT :limit;

-- name: check_submissions
SELECT format('job %d is not among the jobs of its submission %d', j.job_id, j.submission_id)
  FROM job AS j
 WHERE NOT EXISTS (SELECT 1 FROM submission AS u, json_each(u.ranges) AS r
                    WHERE u.submission_id = j.submission_id
                      AND j.job_id BETWEEN r.value ->> 0 AND (r.value ->> 0) + (r.value ->> 1) - 1)
 LIMIT :limit;

-- name: check_live_attempts
SELECT format('attempt %d is live, but its job %d is %s', a.attempt_id, a.job_id, j.state)
  FROM attempt AS a JOIN job AS j ON j.job_id = a.job_id
 WHERE a.live = 1 AND j.state <> 'Waiting'
UNION ALL
SELECT format('attempt %d is live at epoch %d, but its job %d is at %d', a.attempt_id, a.epoch,
              a.job_id, j.epoch)
  FROM attempt AS a JOIN job AS j ON j.job_id = a.job_id
 WHERE a.live = 1 AND a.epoch <> j.epoch + 1
   AND NOT (a.epoch = j.epoch AND j.last_attempt = a.attempt_id)
UNION ALL
SELECT format('attempt %d is still open, but it is not the last one of a waiting job', a.attempt_id)
  FROM attempt AS a JOIN job AS j ON j.job_id = a.job_id
 WHERE a.open = 1 AND a.live = 0
   AND (j.state <> 'Waiting' OR j.last_attempt IS NOT a.attempt_id)
UNION ALL
SELECT format('attempt %d is live on the unknown pilot %s', a.attempt_id, a.pilot)
  FROM attempt AS a
 WHERE a.live = 1 AND NOT EXISTS (SELECT 1 FROM pilot AS p WHERE p.pilot = a.pilot)
 LIMIT :limit;

-- name: check_failures
-- Failed results in the job's present round. Losses are not checked: the rows do not show a loss
-- that a returning pilot has taken back.
-- Attempts that a person ended also have the event `held`, but no result.
WITH counted AS (
    SELECT job_id, round, count(*) AS failures FROM attempt
     WHERE usage IS NOT NULL
       AND (event IN ('retry', 'payload_failed')
            OR (event = 'held' AND how NOT IN ('declined', 'lost', 'stale', 'drained', 'killed',
                                               'input', 'software', 'other')))
     GROUP BY job_id, round
)
SELECT format('job %d has %d failures, but its attempts have %d', j.job_id, j.failures,
              coalesce(c.failures, 0))
  FROM job AS j LEFT JOIN counted AS c ON c.job_id = j.job_id AND c.round = j.round
 WHERE j.failures <> coalesce(c.failures, 0)
 LIMIT :limit;

-- name: check_references
SELECT format('row %d of %s refers to a row of %s that does not exist', rowid, "table", parent)
  FROM pragma_foreign_key_check
 LIMIT :limit;

-- name: integrity_check
PRAGMA integrity_check(20);

-- name: quick_check
PRAGMA quick_check(20);

-- name: table_names
SELECT name FROM sqlite_schema WHERE type = 'table';

-- name: keep_generation
INSERT INTO earlier (generation, jobs_below)
SELECT s.generation, c.next FROM store AS s CROSS JOIN counter AS c WHERE c.name = 'job';

-- name: new_generation
UPDATE store SET generation = lower(hex(randomblob(16))), made_at = :at RETURNING generation;

-- name: end_restored_sweeps
-- Users may have registered removed files again since the backup, so remnants wait again. They stay
-- marked as Sweeping.
UPDATE remnant SET sweep_id = NULL WHERE sweep_id IS NOT NULL;

-- name: remove_restored_sweeps
DELETE FROM sweep;

-- name: skip_ids
-- Ids that were used after the backup must not be used again.
UPDATE counter SET next = next + :skipped;

-- name: begin_read
BEGIN;

-- name: check_remnants
WITH counted AS (
    SELECT storage, community, count(*) FILTER (WHERE state <> 'Gone') AS waiting,
           CAST(total(bytes) FILTER (WHERE state <> 'Gone') AS INTEGER) AS waiting_bytes,
           count(*) FILTER (WHERE state <> 'Gone' AND failures > 0) AS failing
      FROM remnant GROUP BY storage, community
)
SELECT format('remnants of %s on %s: %s wait with %s bytes and %s fail, the rows say %s, %s and %s',
              c.community, c.storage, c.waiting, c.waiting_bytes, c.failing,
              coalesce(r.waiting, 0), coalesce(r.waiting_bytes, 0), coalesce(r.failing, 0))
  FROM remnant_count AS c LEFT JOIN counted AS r USING (storage, community)
 WHERE c.waiting <> coalesce(r.waiting, 0)
    OR (c.waiting_bytes <> coalesce(r.waiting_bytes, 0)
        AND (c.waiting_bytes <> 9007199254740991 OR c.waiting = 0)) -- a capped sum stays
    OR c.failing <> coalesce(r.failing, 0)
UNION ALL
SELECT format('remnants of %s on %s are not counted', r.community, r.storage)
  FROM counted AS r LEFT JOIN remnant_count AS c USING (storage, community)
 WHERE c.waiting IS NULL
UNION ALL
SELECT format('remnant %d is being swept, but its path belongs to file %d', m.remnant_id, r.file_id)
  FROM remnant AS m
  JOIN replica AS r ON r.storage = m.storage AND r.path = m.path
  JOIN file AS f ON f.file_id = r.file_id
 WHERE m.state <> 'Waiting' AND r.state IN ('Available', 'Copying') AND f.state <> 'Removed'
UNION ALL
SELECT format('remnant %d belongs to sweep %d, which does not exist', m.remnant_id, m.sweep_id)
  FROM remnant AS m
 WHERE m.sweep_id IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM sweep AS w WHERE w.sweep_id = m.sweep_id)
 LIMIT :limit;
