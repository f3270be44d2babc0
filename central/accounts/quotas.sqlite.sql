-- name: recount_jobs_used
WITH unended AS MATERIALIZED (
    SELECT c.community, c.group_name, c.owner_id, sum(z.jobs) AS jobs
      FROM zone AS z JOIN class AS c USING (class_id)
     WHERE z.jobs > 0 AND z.state NOT IN ('Done', 'Failed', 'Killed')
     GROUP BY c.community, c.group_name, c.owner_id
), counted AS (
    SELECT 'community' AS kind, community, '' AS name, jobs FROM unended
    UNION ALL
    SELECT 'group', community, group_name, jobs FROM unended
    UNION ALL
    SELECT 'owner', community, CAST(owner_id AS TEXT), jobs FROM unended
)
INSERT INTO quota_use (kind, community, name, jobs)
SELECT kind, community, name, sum(jobs) FROM counted WHERE true GROUP BY kind, community, name
    ON CONFLICT (kind, community, name) DO UPDATE SET jobs = excluded.jobs;

-- name: holdings
SELECT h.sha256, h.owner_id, o.community, h.group_name, h.bytes, h.at
  FROM json_each(:hashes) AS i
 CROSS JOIN holding AS h ON h.sha256 = i.value
 CROSS JOIN owner AS o ON o.owner_id = h.owner_id;

-- name: held_templates
SELECT s.owner_id,
       coalesce((SELECT c.group_name FROM job AS j JOIN class AS c USING (class_id)
                  WHERE j.job_id = s.ranges ->> '$[0][0]'), ''), s.template
  FROM submission AS s
 WHERE s.submission_id BETWEEN :first AND :last AND s.template IS NOT NULL;

-- name: held_outputs
SELECT c.owner_id, c.group_name, CAST(a.outputs AS BLOB)
  FROM attempt AS a
 CROSS JOIN job AS j ON j.job_id = a.job_id
 CROSS JOIN class AS c ON c.class_id = j.class_id
 WHERE a.attempt_id BETWEEN :first AND :last AND a.outputs IS NOT NULL AND a.outputs <> '[]';

-- name: check_quotas
-- Ended jobs are subtracted within seconds, and at each start, so only bytes are exact at any time.
WITH held AS (
    SELECT o.community, h.group_name, h.owner_id, sum(h.bytes) AS bytes
      FROM holding AS h JOIN owner AS o USING (owner_id)
     GROUP BY o.community, h.group_name, h.owner_id
), rows_say AS (
    SELECT kind, community, name, sum(bytes) AS bytes FROM (
        SELECT 'community' AS kind, community, '' AS name, bytes FROM held
        UNION ALL
        SELECT 'group', community, group_name, bytes FROM held
        UNION ALL
        SELECT 'owner', community, CAST(owner_id AS TEXT), bytes FROM held)
     GROUP BY kind, community, name
)
SELECT format('the %s %s %s is charged for %s bytes, but holds %s', u.kind, u.community, u.name,
              u.bytes, coalesce(r.bytes, 0))
  FROM quota_use AS u LEFT JOIN rows_say AS r USING (kind, community, name)
 WHERE u.bytes <> coalesce(r.bytes, 0)
UNION ALL
SELECT format('the %s %s %s holds %s bytes, but is not charged', r.kind, r.community, r.name,
              r.bytes)
  FROM rows_say AS r LEFT JOIN quota_use AS u USING (kind, community, name)
 WHERE u.bytes IS NULL AND r.bytes <> 0
 LIMIT :limit;
