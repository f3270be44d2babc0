-- name: durability
-- Whether commits are durable, and whether this database may be written.
SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('synchronous_standby_names') AS synchronous_standby_names,
       (SELECT count(*) FROM pg_stat_replication
         WHERE state IS NULL OR state NOT IN ('startup', 'backup')) AS replicas,
       pg_is_in_recovery() AS in_recovery,
       (SELECT datcollate FROM pg_database WHERE datname = current_database()) AS collation,
       current_setting('server_encoding') AS encoding,
       current_setting('server_version_num')::int AS version,
       extract(epoch FROM clock_timestamp())::float8 AS now;

-- name: let_wait_for_the_lock
SET lock_timeout = '10s';

-- name: lock
-- The connection that writes holds the lock while it lives, and no other one writes.
SELECT pg_advisory_lock(70121, hashtext(current_database() || '.' || current_schema()));

-- name: wait_no_longer
SET lock_timeout = 0;

-- name: make_generation
INSERT INTO store (one, generation, made_at)
VALUES (1, replace(gen_random_uuid()::text, '-', ''), :at)
    ON CONFLICT DO NOTHING;

-- name: arriving_submissions
-- Submissions whose writer is gone.
SELECT submission_id FROM submission LEFT JOIN arriving USING (submission_id)
 WHERE complete = 0 AND (writer IS NULL OR NOT is_writing(writer));

-- name: make_migrations
CREATE TABLE IF NOT EXISTS migration (
    number   BIGINT PRIMARY KEY,
    name     TEXT NOT NULL,
    checksum TEXT NOT NULL,
    at       DOUBLE PRECISION NOT NULL
);
