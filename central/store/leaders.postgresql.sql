-- Who leads. The term is part of a key, so that a take-over waits for the transactions that look at
-- it, and a renewal does not.

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
-- The table may take long on a slow disk. Only the processes that wait for the one which makes it
-- give up.
SET lock_timeout = '900ms';

-- name: answer_soon
-- Whoever asks has given up by then: nothing is to happen of which nobody hears.
SET statement_timeout = '900ms';

-- name: lead
SELECT term, holder, url,
       greatest(extract(epoch FROM until) - extract(epoch FROM clock_timestamp()), -1e9)::float8
           AS left_s
  FROM leader WHERE shard = :shard;

-- name: end_of_holder
-- Transactions of one that stands still, or is cut off, are open for as long as the server believes
-- in its connections. Those of another user we may not end: the server does, when they are idle.
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
