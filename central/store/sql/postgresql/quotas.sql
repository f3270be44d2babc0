-- Quotas, what is used of them, and who holds which content.

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
SELECT class_id, count(*) FROM job
 WHERE job_id IN (SELECT json_array_elements_text(:ids::json)::bigint)
 GROUP BY class_id ORDER BY class_id;

-- name: holder
SELECT owner_id, community, issuer, subject FROM owner WHERE owner_id = :owner_id;

-- name: use_jobs
-- The rows of one owner come in the same order everywhere. A group of commits mixes owners, so that
-- processes may still wait in a circle: PostgreSQL then ends one, and each commit is repeated alone.
-- A count is never less than nothing: a process of 0.1 stores jobs and counts none, though their
-- ends are taken off.
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

-- name: recount_jobs_used
WITH unended AS MATERIALIZED (
    SELECT c.community, c.group_name, c.owner_id, sum(z.jobs)::bigint AS jobs
      FROM zone AS z JOIN class AS c USING (class_id)
     WHERE z.jobs > 0 AND z.state NOT IN ('Done', 'Failed', 'Killed')
     GROUP BY c.community, c.group_name, c.owner_id
), counted AS (
    SELECT 'community' AS kind, community, '' AS name, jobs FROM unended
    UNION ALL
    SELECT 'group', community, group_name, jobs FROM unended
    UNION ALL
    SELECT 'owner', community, owner_id::text, jobs FROM unended
)
INSERT INTO quota_use (kind, community, name, jobs)
SELECT kind, community, name, sum(jobs)::bigint FROM counted GROUP BY kind, community, name
    ON CONFLICT (kind, community, name) DO UPDATE SET jobs = excluded.jobs;

-- name: insert_holding
INSERT INTO holding (sha256, owner_id, group_name, bytes, at)
VALUES (:sha256::text, :owner_id::bigint, :group::text, :bytes::bigint, :at::float8)
    ON CONFLICT (sha256, owner_id, group_name) DO NOTHING;

-- name: touch_holdings
UPDATE holding SET at = :at::float8
 WHERE sha256 IN (SELECT json_array_elements_text(:hashes::json)) AND owner_id = :owner_id
   AND at < :at::float8;

-- name: holdings
SELECT h.sha256, h.owner_id, o.community, h.group_name, h.bytes, h.at
  FROM holding AS h JOIN owner AS o USING (owner_id)
 WHERE h.sha256 IN (SELECT json_array_elements_text(:hashes::json));

-- name: old_holdings
SELECT h.sha256, h.owner_id, o.community, h.group_name, h.bytes, h.at
  FROM holding AS h JOIN owner AS o USING (owner_id)
 WHERE (h.sha256, h.owner_id, h.group_name) > (:sha256::text, :after_owner::bigint, :after_group::text)
   AND h.at < :before
 ORDER BY h.sha256, h.owner_id, h.group_name LIMIT :limit;

-- name: remove_holding
DELETE FROM holding
 WHERE sha256 = :sha256 AND owner_id = :owner_id AND group_name = :group AND at < :before;

-- name: holding_state
SELECT counted, open_until FROM holding_state;

-- name: holdings_counted
UPDATE holding_state SET counted = 1, open_until = :open_until WHERE counted = 0;

-- name: held_templates
SELECT s.owner_id,
       coalesce((SELECT c.group_name FROM job AS j JOIN class AS c USING (class_id)
                  WHERE j.job_id = (s.ranges::json #>> '{0,0}')::bigint), ''), s.template
  FROM submission AS s
 WHERE s.submission_id BETWEEN :first AND :last AND s.template IS NOT NULL;

-- name: held_bodies
SELECT c.owner_id, c.group_name, b.body
  FROM body AS b
 JOIN job AS j ON j.job_id = b.job_id
 JOIN class AS c ON c.class_id = j.class_id
 WHERE b.job_id BETWEEN :first AND :last;

-- name: held_outputs
SELECT c.owner_id, c.group_name, convert_to(a.outputs, 'utf8')
  FROM attempt AS a
 JOIN job AS j ON j.job_id = a.job_id
 JOIN class AS c ON c.class_id = j.class_id
 WHERE a.attempt_id BETWEEN :first AND :last AND a.outputs IS NOT NULL AND a.outputs <> '[]';

-- name: held_documents
SELECT owner_id, group_name, doc FROM transformation
 WHERE transformation_id BETWEEN :first AND :last AND state <> 'Cleaned';

-- name: held_definitions
SELECT owner_id, group_name, definition FROM production
 WHERE production_id BETWEEN :first AND :last AND state <> 'Cleaned';

-- name: check_quotas
-- Ends are taken off the counts within seconds, and at each start: only bytes are exact at any time.
WITH held AS (
    SELECT o.community, h.group_name, h.owner_id, sum(h.bytes)::bigint AS bytes
      FROM holding AS h JOIN owner AS o USING (owner_id)
     GROUP BY o.community, h.group_name, h.owner_id
), rows_say AS (
    SELECT kind, community, name, sum(bytes)::bigint AS bytes FROM (
        SELECT 'community' AS kind, community, '' AS name, bytes FROM held
        UNION ALL
        SELECT 'group', community, group_name, bytes FROM held
        UNION ALL
        SELECT 'owner', community, owner_id::text, bytes FROM held) AS h
     GROUP BY kind, community, name
)
SELECT format('the %s %s %s is charged with %s bytes, and holds %s', u.kind, u.community, u.name,
              u.bytes, coalesce(r.bytes, 0))
  FROM quota_use AS u LEFT JOIN rows_say AS r USING (kind, community, name)
 WHERE u.bytes <> coalesce(r.bytes, 0)
UNION ALL
SELECT format('the %s %s %s holds %s bytes, and is not charged', r.kind, r.community, r.name,
              r.bytes)
  FROM rows_say AS r LEFT JOIN quota_use AS u USING (kind, community, name)
 WHERE u.bytes IS NULL AND r.bytes <> 0
 LIMIT :limit;
