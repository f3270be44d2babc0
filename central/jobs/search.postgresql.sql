-- name: ids_in_zones
-- No zone reaches the limit. It tells the planner that a zone has only few rows in one index.
SELECT j.job_id
  FROM json_array_elements_text(:zones::json) AS z(value)
 CROSS JOIN LATERAL (
        SELECT job_id, class_id, submission_id, state, deleted, site_id
          FROM job
         WHERE job_id BETWEEN greatest(z.value::bigint << 10, :after::bigint + 1)
                          AND (z.value::bigint << 10) + 1023
         ORDER BY job_id
         LIMIT 1024) AS j
 WHERE j.state IN (SELECT json_array_elements_text(:states::json))
   AND (:include_deleted::bigint = 1 OR j.deleted = 0)
   AND (:site_id::bigint IS NULL OR j.site_id = :site_id)
   AND (:submission_id::bigint IS NULL OR j.submission_id = :submission_id)
   AND (:classes::text IS NULL OR j.class_id IN (SELECT json_array_elements_text(:classes::json)::bigint))
   AND j.submission_id NOT IN (SELECT submission_id FROM submission WHERE complete = 0)
   AND (:with_live::bigint = 1 OR j.state <> 'Waiting'
        OR NOT EXISTS (SELECT 1 FROM attempt AS l WHERE l.job_id = j.job_id AND l.live = 1))
 ORDER BY j.job_id
 LIMIT :limit;

-- name: ids_given
SELECT j.job_id
  FROM (SELECT DISTINCT json_array_elements_text(:ids::json)::bigint AS value) AS i
  JOIN job AS j ON j.job_id = i.value
  JOIN body AS b ON b.job_id = j.job_id
  JOIN submission AS u ON u.submission_id = j.submission_id AND u.complete = 1
  LEFT JOIN attempt AS l ON l.job_id = j.job_id AND l.live = 1
 WHERE j.job_id > :after
   AND (:states::text IS NULL
        OR coalesce(l.state, j.state) IN (SELECT json_array_elements_text(:states::json)))
   AND (:include_deleted::bigint = 1 OR j.deleted = 0)
   AND (:classes::text IS NULL
        OR j.class_id IN (SELECT json_array_elements_text(:classes::json)::bigint))
   AND (:site_id::bigint IS NULL OR coalesce(l.site_id, j.site_id) = :site_id)
   AND (:submission_id::bigint IS NULL OR j.submission_id = :submission_id)
   AND (:name::text IS NULL OR coalesce(b.name, u.job_name) = :name)
 ORDER BY j.job_id
 LIMIT :limit;

-- name: ids_named_by_template
-- Read at most `limit` jobs from each range of ids, so that large submissions are not read wholly.
SELECT found.job_id
  FROM submission AS u
 CROSS JOIN json_array_elements(u.ranges::json) AS r(value)
 CROSS JOIN LATERAL (
        SELECT j.job_id
          FROM job AS j
          JOIN body AS b ON b.job_id = j.job_id
          LEFT JOIN attempt AS l ON l.job_id = j.job_id AND l.live = 1
         WHERE j.job_id BETWEEN greatest((r.value ->> 0)::bigint, :after::bigint + 1)
                            AND (r.value ->> 0)::bigint + (r.value ->> 1)::bigint - 1
           AND b.name IS NULL
           AND (:states::text IS NULL
                OR coalesce(l.state, j.state) IN (SELECT json_array_elements_text(:states::json)))
           AND (:include_deleted::bigint = 1 OR j.deleted = 0)
           AND (:classes::text IS NULL
                OR j.class_id IN (SELECT json_array_elements_text(:classes::json)::bigint))
           AND (:site_id::bigint IS NULL OR coalesce(l.site_id, j.site_id) = :site_id)
         ORDER BY j.job_id
         LIMIT :limit) AS found
 WHERE u.job_name = :name AND u.complete = 1
   AND (:submission_id::bigint IS NULL OR u.submission_id = :submission_id)
 ORDER BY found.job_id
 LIMIT :limit;

-- name: job_rows
SELECT j.job_id, j.submission_id, u.name, j.class_id, c.community, c.group_name, o.subject,
       c.owner_id, c.type, b.name, CASE WHEN a.live = 1 THEN a.state ELSE j.state END,
       coalesce(a.epoch, 0), j.round, j.priority, j.failures, j.losses,
       CASE WHEN a.live = 1 THEN a.reason ELSE j.reason END,
       coalesce((a.progress::json -> -1 -> 1)::text, '""'), coalesce(s.site, ''),
       coalesce(a.pilot, ''), CASE WHEN a.live = 1 THEN a.wanted END, a.exit_code, u.at,
       a.started_at, j.ended_at, j.deleted, coalesce(a.host, ''), coalesce(a.cores, 0),
       coalesce(a.memory_mb, 0), a.usage
  FROM (SELECT json_array_elements_text(:ids::json)::bigint AS value) AS i
  JOIN job AS j ON j.job_id = i.value
  JOIN submission AS u ON u.submission_id = j.submission_id AND u.complete = 1
  JOIN body AS b ON b.job_id = j.job_id
  JOIN class AS c ON c.class_id = j.class_id
  JOIN owner AS o ON o.owner_id = c.owner_id
  LEFT JOIN attempt AS a ON a.attempt_id = coalesce(
       (SELECT l.attempt_id FROM attempt AS l WHERE l.job_id = j.job_id AND l.live = 1),
       j.last_attempt)
  LEFT JOIN site AS s ON s.site_id = a.site_id
 ORDER BY j.job_id;

-- name: waiting_in_zones
-- The limit is for the planner, as in `ids_in_zones`.
SELECT j.class_id, j.priority, j.job_id, j.epoch, j.queue_until
  FROM json_array_elements_text(:zones::json) AS z(value)
 CROSS JOIN LATERAL (
        SELECT class_id, priority, job_id, epoch, queue_until, submission_id
          FROM job
         WHERE job_id BETWEEN z.value::bigint << 10 AND (z.value::bigint << 10) + 1023
           AND state = 'Waiting'
         ORDER BY job_id
         LIMIT 1024) AS j
 WHERE j.submission_id NOT IN (SELECT submission_id FROM submission WHERE complete = 0)
   AND NOT EXISTS (SELECT 1 FROM attempt AS l WHERE l.job_id = j.job_id AND l.live = 1)
 ORDER BY j.job_id;

-- name: counts
-- Count all jobs by the state in their row, minus those with a live attempt, plus these by the
-- state of the attempt.
SELECT c.community, c.group_name, c.owner_id, o.subject, c.type, coalesce(s.site, ''), n.state,
       sum(n.jobs)::bigint
  FROM (SELECT class_id, site_id, state, count(*) AS jobs
          FROM job
         WHERE deleted = 0
           AND submission_id NOT IN (SELECT submission_id FROM submission WHERE complete = 0)
         GROUP BY class_id, site_id, state
        UNION ALL
        SELECT j.class_id, j.site_id, j.state, -count(*)
          FROM attempt AS l JOIN job AS j ON j.job_id = l.job_id
         WHERE l.live = 1
         GROUP BY j.class_id, j.site_id, j.state
        UNION ALL
        SELECT j.class_id, l.site_id, l.state, count(*)
          FROM attempt AS l JOIN job AS j ON j.job_id = l.job_id
         WHERE l.live = 1
         GROUP BY j.class_id, l.site_id, l.state) AS n
  JOIN class AS c ON c.class_id = n.class_id
  JOIN owner AS o ON o.owner_id = c.owner_id
  LEFT JOIN site AS s ON s.site_id = n.site_id
 GROUP BY c.community, c.group_name, c.owner_id, o.subject, c.type, n.site_id, s.site, n.state
HAVING sum(n.jobs) > 0;

-- name: get_span
-- Return the first and the last job id of a submission.
SELECT min((r.value ->> 0)::bigint),
       max((r.value ->> 0)::bigint + (r.value ->> 1)::bigint - 1)
  FROM submission AS u, json_array_elements(u.ranges::json) AS r(value)
 WHERE u.submission_id = :submission_id AND u.complete = 1;
