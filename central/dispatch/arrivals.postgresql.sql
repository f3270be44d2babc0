-- Submissions that API processes store for the process with the queue.

-- name: moment
SELECT pg_current_snapshot()::text;

-- name: arrivals
-- Rows that this statement sees and the earlier snapshot did not: those of transactions that had
-- not begun then, or that were still open. Returns at least one row, with the new moment.
SELECT m.moment, s.submission_id, s.ranges,
       greatest(0, extract(epoch FROM clock_timestamp() - a.at))::float8
  FROM (SELECT pg_current_snapshot()::text AS moment) AS m
  LEFT JOIN arrival AS a
    ON a.xid >= pg_snapshot_xmax(:since::text::pg_snapshot)
    OR a.xid = ANY (ARRAY(SELECT pg_snapshot_xip(:since::text::pg_snapshot)))
  LEFT JOIN submission AS s ON s.submission_id = a.submission_id
 ORDER BY s.submission_id;

-- name: arrived_runs
-- Jobs in the given ranges; consecutive jobs with equal class, priority and state make one row.
SELECT class_id, priority, epoch, queue_until, waits, min(job_id), count(*)
  FROM (SELECT class_id, priority, epoch, queue_until, waits, job_id,
               job_id - row_number() OVER (
                   PARTITION BY class_id, priority, epoch, queue_until, waits ORDER BY job_id
               ) AS island
          FROM (SELECT j.class_id, j.priority, j.epoch, j.queue_until, j.job_id,
                       j.state = 'Waiting' AND NOT EXISTS (
                           SELECT FROM attempt AS l WHERE l.job_id = j.job_id AND l.live = 1
                       ) AS waits
                  FROM json_array_elements(:ranges::text::json) AS r
                  JOIN job AS j
                    ON j.job_id BETWEEN (r ->> 0)::bigint
                                    AND (r ->> 0)::bigint + (r ->> 1)::bigint - 1
               ) AS job
       ) AS islands
 GROUP BY class_id, priority, epoch, queue_until, waits, island
 ORDER BY 6;

-- name: forget_arrivals
-- Deletes also rows with transaction numbers that this server has never used: they came with
-- tables from another server.
DELETE FROM arrival
 WHERE xid < pg_snapshot_xmin(:before::text::pg_snapshot)
    OR xid >= pg_snapshot_xmax(pg_current_snapshot());

-- name: tell_arrival
INSERT INTO arrival (submission_id) VALUES (:submission_id);

-- name: hint_arrival
SELECT pg_notify('pilotage_arrival', '');

-- name: begin_arriving
INSERT INTO arriving (submission_id, writer, touched)
VALUES (:submission_id, :writer, clock_timestamp());

-- name: go_on_arriving
UPDATE arriving SET touched = clock_timestamp() WHERE submission_id = :submission_id;

-- name: end_arriving
DELETE FROM arriving WHERE submission_id = :submission_id;

-- name: take_abandoned
-- Unfinished submissions whose process is gone or has written nothing for :silent_s. Later writes
-- of such a process are refused, since its row is gone.
WITH gone AS (
    SELECT s.submission_id
      FROM submission AS s LEFT JOIN arriving AS a USING (submission_id)
     WHERE s.complete = 0
       AND (:submission_id::bigint IS NULL OR s.submission_id = :submission_id)
       AND (a.submission_id IS NULL
            OR a.touched < clock_timestamp() - make_interval(secs => :silent_s)
            OR NOT is_writing(a.writer))
     ORDER BY s.submission_id LIMIT :limit
), taken AS (
    DELETE FROM arriving AS a USING gone WHERE a.submission_id = gone.submission_id
)
SELECT submission_id FROM gone;

-- name: register_writer
-- Locks a number; while this connection lives, the lock shows that its process writes.
SELECT n FROM (SELECT (random() * 2147483640)::int + 1 AS n OFFSET 0) AS drawn
 WHERE pg_try_advisory_lock(70122, n);

-- name: share_classes
-- While a process holds this lock, no class is deleted: it may be storing a job of the class.
SELECT pg_advisory_lock_shared(70123, hashtext(current_database() || '.' || current_schema()));

-- name: have_classes
SELECT pg_try_advisory_lock(70123, hashtext(current_database() || '.' || current_schema()));

-- name: leave_classes
SELECT pg_advisory_unlock(70123, hashtext(current_database() || '.' || current_schema()));

-- name: hurry
-- Other processes give up soon when they wait for a row: the process with the queue comes first.
SET lock_timeout = '300ms';
