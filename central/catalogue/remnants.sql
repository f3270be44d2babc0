-- Remnants: bytes on a storage that no file names any more.

-- name: insert_storing
INSERT INTO storing (job_id, storages) VALUES (?1, ?2);

-- name: storing_again
-- For a job that had ended and runs again.
UPDATE storing SET pending = 1 WHERE job_id = ?1;

-- name: remove_storing
DELETE FROM storing WHERE job_id BETWEEN :first AND :last;

-- name: storing_after
-- A page of jobs, each with whether it has ended or is deleted.
SELECT s.job_id, j.job_id IS NULL OR j.state IN ('Done', 'Failed', 'Killed')
  FROM (SELECT job_id FROM storing WHERE pending = 1 AND job_id > :after
         ORDER BY job_id LIMIT :limit) AS s
  LEFT JOIN job AS j ON j.job_id = s.job_id
 ORDER BY s.job_id;

-- name: storing_of
-- Ended jobs of which no further attempt can count any more (PROTOCOL C9, C10).
SELECT s.job_id, s.storages, s.epoch, j.state, j.epoch, j.ended_at, c.community, c.group_name,
       c.owner_id
  FROM json_each(:ids) AS i
 CROSS JOIN storing AS s ON s.job_id = i.value::bigint
 CROSS JOIN job AS j ON j.job_id = s.job_id
 CROSS JOIN class AS c ON c.class_id = j.class_id
 WHERE s.pending = 1 AND j.state IN ('Done', 'Failed', 'Killed')
   AND NOT EXISTS (SELECT 1 FROM attempt AS a
                    WHERE a.job_id = j.job_id AND a.live = 1)
   AND NOT EXISTS (SELECT 1 FROM attempt AS a
                    WHERE a.attempt_id = j.last_attempt AND a.open = 1);

-- name: counted_epochs
-- Attempts whose results counted, whatever happened to their jobs since: their outputs were
-- published from their folders. No index finds attempts by their job, but each names the previous
-- one. None is live (see `storing_of`).
WITH RECURSIVE chain (attempt_id) AS (
    SELECT j.last_attempt FROM json_each(:ids) AS i
     CROSS JOIN job AS j ON j.job_id = i.value::bigint
    UNION ALL
    SELECT a.previous FROM chain AS c CROSS JOIN attempt AS a ON a.attempt_id = c.attempt_id
)
SELECT a.job_id, a.epoch
  FROM chain AS c CROSS JOIN attempt AS a ON a.attempt_id = c.attempt_id
 WHERE a.event = 'succeeded';

-- name: earlier_generations
SELECT generation, jobs_below FROM earlier ORDER BY generation;

-- name: storing_seen
UPDATE storing SET pending = 0, epoch = :epoch WHERE job_id = :job_id;

-- name: insert_remnant
INSERT INTO remnant (remnant_id, storage, path, community, owner_id, group_name, file_id, bytes,
                     since, due_from)
VALUES (:remnant_id, :storage, :path, :community, :owner_id, :group, :file_id, :bytes, :since,
        :since);

-- name: add_to_remnants
-- Bytes are capped at 2^53 - 1, whatever sizes files claim. A capped sum stays until no remnant
-- waits, because the true sum is unknown.
INSERT INTO remnant_count AS c (storage, community, waiting, waiting_bytes, failing, gone,
                                gone_bytes)
VALUES (:storage, :community, :waiting, :waiting_bytes, :failing, :gone, :gone_bytes)
    ON CONFLICT (storage, community) DO UPDATE
   SET waiting = c.waiting + excluded.waiting,
       waiting_bytes = CASE
           WHEN c.waiting + excluded.waiting = 0 THEN 0
           WHEN c.waiting_bytes >= 9007199254740991 THEN 9007199254740991
           ELSE least(c.waiting_bytes + excluded.waiting_bytes, 9007199254740991)
       END,
       failing = c.failing + excluded.failing,
       gone = c.gone + excluded.gone,
       gone_bytes = least(c.gone_bytes::numeric + excluded.gone_bytes, 9007199254740991);

-- name: remove_remnant
DELETE FROM remnant WHERE remnant_id = ?1 AND state = 'Waiting';

-- name: uploads_at
-- Uploads that no file names (remnants.UNREGISTERED).
SELECT r.remnant_id, r.storage, r.path, r.community, r.owner_id, r.group_name, r.file_id, r.bytes,
       r.since, r.state, r.failures, r.why, r.sweep_id, r.gone_at
  FROM json_each(:paths) AS p
 CROSS JOIN remnant AS r ON r.path = p.value AND r.file_id = 0
 WHERE r.storage = :storage;

-- name: give_up_remnant
UPDATE remnant SET state = 'Gone', gone_at = :at
 WHERE remnant_id = :remnant_id AND state = 'Sweeping' AND sweep_id IS NULL;

-- name: is_remnant_due
-- After a restore, all remnants wait again: users may have registered removed files again since
-- the backup.
SELECT 1 FROM remnant
 WHERE storage = :storage AND state <> 'Gone' AND sweep_id IS NULL AND due_from <= :before
   AND EXISTS (SELECT 1 FROM store WHERE made_at <= :before)
 LIMIT 1;

-- name: due_remnants
SELECT remnant_id, storage, path, community, owner_id, group_name, file_id, bytes, since, state,
       failures, why, sweep_id, gone_at
  FROM remnant
 WHERE storage = :storage AND state <> 'Gone' AND sweep_id IS NULL AND due_from <= :before
   AND EXISTS (SELECT 1 FROM store WHERE made_at <= :before)
 ORDER BY due_from LIMIT :limit;

-- name: storages_of_copies
-- Each storage takes one step in the index.
WITH RECURSIVE place(storage) AS (
    SELECT min(storage) FROM replica
    UNION ALL
    SELECT (SELECT min(r.storage) FROM replica AS r WHERE r.storage > p.storage)
      FROM place AS p WHERE p.storage IS NOT NULL
)
SELECT storage FROM place WHERE storage IS NOT NULL;

-- name: names_of_path
-- Files at a path or below it, and whether each one holds the path: a file that is not removed,
-- or was removed only recently. The limit is remnants.NAMES_MAX + 1.
SELECT s.scope, f.name, f.state <> 'Removed' OR r.changed_at > :before
  FROM (SELECT one.file_id, one.changed_at
          FROM (SELECT file_id, changed_at FROM replica
                 WHERE storage = :storage AND path = :path::text
                UNION ALL
                SELECT file_id, changed_at FROM replica
                 WHERE storage = :storage AND path > :path::text || '/'
                   AND path < :path::text || '0') AS one
         LIMIT 201) AS r
  JOIN file AS f USING (file_id)
  JOIN data_scope AS s USING (scope_id);

-- name: hold_remnant
UPDATE remnant SET due_from = :due_from, why = :why WHERE remnant_id = :remnant_id;

-- name: mark_remnant
UPDATE remnant SET state = 'Sweeping', sweep_id = :sweep_id
 WHERE remnant_id = :remnant_id AND state <> 'Gone' AND sweep_id IS NULL;

-- name: insert_sweep
INSERT INTO sweep (sweep_id, storage, community, owner_id, group_name, made_at)
VALUES (:sweep_id, :storage, :community, :owner_id, :group, :made_at);

-- name: sweeps
SELECT w.sweep_id, w.storage, w.community, w.owner_id, o.issuer, o.subject, o.name, w.group_name,
       w.made_at, w.job_id
  FROM sweep AS w JOIN owner AS o USING (owner_id)
 ORDER BY w.sweep_id;

-- name: set_sweep_job
UPDATE sweep SET job_id = :job_id WHERE sweep_id = :sweep_id;

-- name: key_of_job
SELECT u.key FROM job AS j JOIN submission AS u USING (submission_id) WHERE j.job_id = :job_id;

-- name: remnants_of_sweep
SELECT remnant_id, storage, path, community, owner_id, group_name, file_id, bytes, since, state,
       failures, why, sweep_id, gone_at
  FROM remnant WHERE sweep_id = :sweep_id ORDER BY failures, remnant_id;

-- name: remnant_gone
UPDATE remnant SET state = 'Gone', sweep_id = NULL, gone_at = :at, why = ''
 WHERE remnant_id = :remnant_id AND sweep_id = :sweep_id;

-- name: forget_copy
-- This copy of the file is gone, whatever happened to the file since.
DELETE FROM replica WHERE file_id = :file_id AND storage = :storage AND path = :path;

-- name: lost_now
-- Missing files that have bad copies only. On PostgreSQL they are locked, since another process
-- may register a good copy.
SELECT f.file_id
  FROM json_each(:ids) AS i
 CROSS JOIN file AS f ON f.file_id = i.value::bigint
 WHERE f.state = 'Missing'
   AND EXISTS (SELECT 1 FROM replica AS r WHERE r.file_id = f.file_id)
   AND NOT EXISTS (SELECT 1 FROM replica AS r WHERE r.file_id = f.file_id AND r.state <> 'Bad')
 ORDER BY f.file_id FOR NO KEY UPDATE OF f;

-- name: lose_file
UPDATE file SET state = 'Lost', seq = :seq WHERE file_id = :file_id;

-- name: remnant_failed
UPDATE remnant SET sweep_id = NULL, failures = failures + :more, due_from = :due_from, why = :why
 WHERE remnant_id = :remnant_id AND sweep_id = :sweep_id;

-- name: remove_sweep
DELETE FROM sweep WHERE sweep_id = :sweep_id;

-- name: storages_marked
SELECT c.storage FROM (SELECT DISTINCT storage FROM remnant_count) AS c
 WHERE EXISTS (SELECT 1 FROM remnant AS r WHERE r.storage = c.storage AND r.state <> 'Waiting');

-- name: marked_paths
SELECT r.path, r.state, r.file_id IS NULL
  FROM json_each(:paths) AS p
 CROSS JOIN remnant AS r ON r.storage = :storage AND r.path = p.value AND r.state <> 'Waiting';

-- name: remnants_after
SELECT remnant_id, storage, path, community, owner_id, group_name, file_id, bytes, since, state,
       failures, why, sweep_id, gone_at
  FROM remnant
 WHERE remnant_id > :after AND state <> 'Gone'
   AND (:community::text IS NULL OR community = :community)
   AND (:storage::text IS NULL OR storage = :storage)
   AND due_from <= :before
 ORDER BY remnant_id LIMIT :limit;

-- name: remnants_of_files
SELECT r.remnant_id, r.storage, r.path, r.community, r.owner_id, r.group_name, r.file_id, r.bytes,
       r.since, r.state, r.failures, r.why, r.sweep_id, r.gone_at
  FROM json_each(:ids) AS i
 CROSS JOIN remnant AS r ON r.file_id = i.value::bigint
 ORDER BY r.remnant_id;

-- name: counts_of_remnants
SELECT c.storage, c.community, c.waiting, c.waiting_bytes, c.failing, c.gone, c.gone_bytes,
       (SELECT count(*) FROM remnant AS r JOIN sweep AS w ON w.sweep_id = r.sweep_id
         WHERE w.storage = c.storage AND w.community = c.community)
  FROM remnant_count AS c ORDER BY c.storage, c.community;

-- name: forget_gone
DELETE FROM remnant
 WHERE remnant_id IN (SELECT remnant_id FROM remnant
                       WHERE gone_at <= :before ORDER BY gone_at LIMIT :limit);
