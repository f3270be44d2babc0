-- Quotas, their usage, and holdings of contents.

-- name: put_quota
INSERT INTO quota (kind, community, name, jobs, bytes)
VALUES (:kind::text, :community::text, :name::text, :jobs::bigint, :bytes::bigint)
    ON CONFLICT (kind, community, name)
    DO UPDATE SET jobs = excluded.jobs, bytes = excluded.bytes;

-- name: drop_quota
DELETE FROM quota WHERE kind = :kind AND community = :community AND name = :name;

-- name: quotas
SELECT kind, community, name, jobs, bytes FROM quota ORDER BY kind, community, name;

-- name: uses
SELECT kind, community, name, jobs, bytes FROM quota_use
 WHERE jobs <> 0 OR bytes <> 0 ORDER BY kind, community, name;

-- name: uses_of
SELECT kind, community, name, jobs, bytes FROM quota_use
 WHERE community = :community
   AND ((kind = 'community' AND name = '') OR (kind = 'group' AND name = :group)
        OR (kind = 'owner' AND name = :owner));

-- name: holder_of_class
SELECT c.community, c.group_name, c.owner_id, o.issuer, o.subject
  FROM class AS c JOIN owner AS o USING (owner_id) WHERE c.class_id = :class_id;

-- name: classes_of_jobs
SELECT class_id, count(*) FROM job WHERE job_id BETWEEN :first AND :last GROUP BY class_id
 ORDER BY class_id;

-- name: classes_among
SELECT class_id, count(*) FROM job WHERE job_id IN (SELECT value::bigint FROM json_each(:ids))
 GROUP BY class_id ORDER BY class_id;

-- name: holder
SELECT owner_id, community, issuer, subject FROM owner WHERE owner_id = :owner_id;

-- name: use_jobs
-- All processes update the rows of one owner in the same order. A group of commits mixes owners, so
-- deadlocks are still possible. PostgreSQL then ends one process's transaction, and each commit is
-- repeated alone. A count never becomes negative, because a process of release 0.1 stores jobs
-- without counting them, but their ends are subtracted.
INSERT INTO quota_use AS u (kind, community, name, jobs)
VALUES ('community', :community::text, '', greatest(0, :jobs::bigint)),
       ('group', :community::text, :group::text, greatest(0, :jobs::bigint)),
       ('owner', :community::text, :owner::text, greatest(0, :jobs::bigint))
    ON CONFLICT (kind, community, name) DO UPDATE SET jobs = greatest(0, u.jobs + :jobs::bigint)
RETURNING kind, jobs;

-- name: use_bytes
INSERT INTO quota_use AS u (kind, community, name, bytes)
VALUES ('community', :community::text, '', :bytes::bigint),
       ('group', :community::text, :group::text, :bytes::bigint),
       ('owner', :community::text, :owner::text, :bytes::bigint)
    ON CONFLICT (kind, community, name) DO UPDATE SET bytes = u.bytes + excluded.bytes
RETURNING kind, bytes;

-- name: forget_jobs_used
UPDATE quota_use SET jobs = 0 WHERE jobs <> 0;

-- name: insert_holding
INSERT INTO holding (sha256, owner_id, group_name, bytes, at)
VALUES (:sha256::text, :owner_id::bigint, :group::text, :bytes::bigint, :at::float8)
    ON CONFLICT (sha256, owner_id, group_name) DO NOTHING;

-- name: touch_holdings
UPDATE holding SET at = :at::float8
 WHERE sha256 IN (SELECT value FROM json_each(:hashes)) AND owner_id = :owner_id
   AND at < :at::float8;

-- name: old_holdings
SELECT h.sha256, h.owner_id, o.community, h.group_name, h.bytes, h.at
  FROM holding AS h JOIN owner AS o USING (owner_id)
 WHERE (h.sha256, h.owner_id, h.group_name)
       > (:sha256::text, :after_owner::bigint, :after_group::text)
   AND h.at < :before
 ORDER BY h.sha256, h.owner_id, h.group_name LIMIT :limit;

-- name: remove_holding
DELETE FROM holding
 WHERE sha256 = :sha256 AND owner_id = :owner_id AND group_name = :group AND at < :before;

-- name: holding_state
SELECT counted, open_until FROM holding_state;

-- name: holdings_counted
UPDATE holding_state SET counted = 1, open_until = :open_until WHERE counted = 0;

-- name: held_bodies
SELECT c.owner_id, c.group_name, b.body
  FROM body AS b
 CROSS JOIN job AS j ON j.job_id = b.job_id
 CROSS JOIN class AS c ON c.class_id = j.class_id
 WHERE b.job_id BETWEEN :first AND :last;

-- name: held_documents
SELECT owner_id, group_name, doc FROM transformation
 WHERE transformation_id BETWEEN :first AND :last AND state <> 'Cleaned';

-- name: held_definitions
SELECT owner_id, group_name, definition FROM production
 WHERE production_id BETWEEN :first AND :last AND state <> 'Cleaned';
