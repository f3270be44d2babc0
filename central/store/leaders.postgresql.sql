-- The leader row. The term is part of a key: a take-over waits for transactions that check the
-- term, but a renewal does not.

-- name: make_leader
CREATE TABLE IF NOT EXISTS leader (
    shard  TEXT PRIMARY KEY,
    term   BIGINT NOT NULL,
    holder TEXT NOT NULL,
    url    TEXT NOT NULL,
    until  TIMESTAMPTZ NOT NULL,
    UNIQUE (shard, term)
);

-- name: make_lead
INSERT INTO leader (shard, term, holder, url, until)
VALUES (:shard, 0, '', '', '-infinity')
    ON CONFLICT DO NOTHING;

-- name: give_up_locks_soon
-- Making the table may take long on a slow disk. This ends only the processes that wait for it.
SET lock_timeout = '900ms';

-- name: answer_soon
-- The caller gives up after this time, so a later answer must have no effect.
SET statement_timeout = '900ms';

-- name: lead
SELECT term, holder, url,
       greatest(extract(epoch FROM until) - extract(epoch FROM clock_timestamp()), -1e9)::float8
           AS left_s
  FROM leader WHERE shard = :shard;

-- name: end_of_holder
-- A hanging or disconnected process keeps its transactions open while the server believes in its
-- connections. Another user's transactions cannot be ended here; their idle timeout ends them.
SELECT pg_terminate_backend(pid)
  FROM pg_stat_activity
 WHERE application_name = :application AND pid <> pg_backend_pid() AND usename = current_user;

-- name: take_lead
UPDATE leader
   SET term = term + 1, holder = :holder, url = :url,
       until = clock_timestamp() + make_interval(secs => :lease_s)
 WHERE shard = :shard AND term = :term
   AND (until < clock_timestamp() OR holder = :holder)
RETURNING term;

-- name: renew_lead
UPDATE leader SET until = clock_timestamp() + make_interval(secs => :lease_s)
 WHERE shard = :shard AND term = :term AND holder = :holder
RETURNING term;

-- name: give_up_lead
UPDATE leader SET until = '-infinity'
 WHERE shard = :shard AND term = :term AND holder = :holder
RETURNING term;

-- name: fence
SELECT term FROM leader
 WHERE shard = :shard AND term = :term AND holder = :holder
   FOR KEY SHARE;
