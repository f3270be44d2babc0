-- Removal of old rows: jobs that ended long ago, with all their rows. Their accounts stay.

-- name: ended_in_zones
SELECT j.job_id, j.class_id, c.community, c.group_name, c.owner_id, c.type, coalesce(s.site, ''),
       j.state, j.ended_at, j.deleted
  FROM json_each(:zones) AS z
 CROSS JOIN job AS j ON j.job_id BETWEEN z.value::bigint << 10 AND (z.value::bigint << 10) + 1023
 CROSS JOIN class AS c ON c.class_id = j.class_id
  LEFT JOIN site AS s ON s.site_id = j.site_id
 WHERE j.state IN ('Done', 'Failed', 'Killed') AND j.ended_at < :before
 ORDER BY j.job_id;

-- name: remove_attempts_of_jobs
WITH RECURSIVE chain (attempt_id) AS (
    SELECT j.last_attempt
      FROM json_each(:ids) AS i CROSS JOIN job AS j ON j.job_id = i.value::bigint
    UNION ALL
    SELECT a.previous FROM chain JOIN attempt AS a USING (attempt_id)
)
DELETE FROM attempt WHERE attempt_id IN (SELECT attempt_id FROM chain);

-- name: remove_notes_of_jobs
DELETE FROM note WHERE job_id IN (SELECT value::bigint FROM json_each(:ids));

-- name: remove_evidence_of_jobs
DELETE FROM evidence WHERE job_id IN (SELECT value::bigint FROM json_each(:ids));

-- name: remove_bodies_of_jobs
DELETE FROM body WHERE job_id IN (SELECT value::bigint FROM json_each(:ids));

-- name: remove_ended_jobs
DELETE FROM job WHERE job_id IN (SELECT value::bigint FROM json_each(:ids));

-- name: lessen_zone
UPDATE zone SET jobs = jobs - :jobs::bigint
 WHERE class_id = :class_id AND state = :state AND zone = :zone;

-- name: remove_empty_zone
DELETE FROM zone WHERE class_id = :class_id AND zone = :zone AND jobs = 0;

-- name: remove_unnamed_classes
-- Run it only while no other process uses the store, and with foreign keys off. Otherwise each
-- deletion would read all jobs. The highest class stays, because SQLite would use its id again.
DELETE FROM class
 WHERE class_id IN (
    SELECT c.class_id FROM class AS c
     WHERE c.class_id < (SELECT max(class_id) FROM class)
       AND NOT EXISTS (SELECT 1 FROM zone AS z WHERE z.class_id = c.class_id AND z.jobs > 0)
     LIMIT :limit)
RETURNING class_id;

-- name: remove_zones_of_classes
DELETE FROM zone WHERE class_id IN (SELECT value::bigint FROM json_each(:classes));

-- name: remove_old_evidence
DELETE FROM evidence
 WHERE evidence_id IN (SELECT evidence_id FROM evidence ORDER BY evidence_id LIMIT :limit)
   AND at < :before;

-- name: remove_expired_tokens
DELETE FROM token
 WHERE jti IN (SELECT jti FROM token WHERE expires_at < :before ORDER BY expires_at LIMIT :limit);

-- name: never_registered
SELECT p.pilot FROM secret AS s JOIN pilot AS p USING (pilot)
 WHERE s.nonce IS NULL AND s.expires_at < :now AND p.state IN ('Submitted', 'Waiting')
 LIMIT :limit;

-- name: ended_pilots
SELECT pilot FROM pilot
 WHERE pilot > :after AND ended_at < :before ORDER BY pilot LIMIT :limit;

-- name: remove_secrets_of_pilots
DELETE FROM secret
 WHERE pilot IN (SELECT p.pilot FROM json_each(:pilots) AS i CROSS JOIN pilot AS p
                  WHERE p.pilot = i.value AND p.ended_at < :before);

-- name: remove_slots_of_pilots
DELETE FROM slot
 WHERE pilot IN (SELECT p.pilot FROM json_each(:pilots) AS i CROSS JOIN pilot AS p
                  WHERE p.pilot = i.value AND p.ended_at < :before);

-- name: remove_pilots
DELETE FROM pilot
 WHERE pilot IN (SELECT value FROM json_each(:pilots)) AND ended_at < :before;

-- name: span_of_templates
-- Return the first and the last id for a scan.
SELECT coalesce(min(submission_id), 1), coalesce(max(submission_id), 0) FROM submission;

-- name: span_of_bodies
SELECT coalesce((SELECT min(job_id) FROM body), 1), coalesce((SELECT max(job_id) FROM body), 0);

-- name: span_of_outputs
SELECT coalesce((SELECT min(attempt_id) FROM attempt), 1),
       coalesce((SELECT max(attempt_id) FROM attempt), 0);

-- name: bodies_between
SELECT body FROM body WHERE job_id BETWEEN :first AND :last;

-- name: templates_between
SELECT template FROM submission
 WHERE submission_id BETWEEN :first AND :last AND template IS NOT NULL;
