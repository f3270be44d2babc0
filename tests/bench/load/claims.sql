-- A queue as it is made in PostgreSQL without a dispatcher: the bench's measure, not the product's.

-- name: make
CREATE TABLE claim (
    job_id BIGINT PRIMARY KEY,
    state  TEXT NOT NULL DEFAULT 'Waiting',
    worker TEXT,
    at     TIMESTAMPTZ,
    body   BYTEA NOT NULL
);

-- name: make_index
CREATE INDEX claim_waiting ON claim (job_id) WHERE state = 'Waiting';

-- name: look_at_it
ANALYZE claim;

-- name: fill
INSERT INTO claim (job_id, body)
SELECT n, convert_to(format('{"parameters":{"run":%s}}', n), 'utf8')
  FROM generate_series(1, $1::bigint) AS n;

-- name: claim
-- $1 how many, $2 the worker. A transaction of its own, so synced before it returns.
UPDATE claim SET state = 'Matched', worker = $2, at = now()
 WHERE job_id IN (SELECT job_id FROM claim WHERE state = 'Waiting'
                   ORDER BY job_id LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING job_id, body;
