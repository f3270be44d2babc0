-- name: check_zones
WITH counted AS (
    SELECT class_id, state, job_id >> 10 AS zone, count(*) AS jobs FROM job GROUP BY 1, 2, 3
)
SELECT format('zone %s of class %s, %s: says %s, the rows say %s', zone, class_id, state,
              coalesce(z.jobs, 0), coalesce(c.jobs, 0))
  FROM zone AS z FULL JOIN counted AS c USING (class_id, state, zone)
 WHERE coalesce(z.jobs, 0) <> coalesce(c.jobs, 0)
 LIMIT :limit;

-- name: check_submissions
WITH span AS (
    SELECT u.submission_id, (r.value ->> 0)::bigint AS first, (r.value ->> 1)::bigint AS jobs
      FROM submission AS u CROSS JOIN json_array_elements(u.ranges::json) AS r(value)
)
SELECT format('job %s is not among the jobs of its submission %s', j.job_id, j.submission_id)
  FROM job AS j
 WHERE NOT EXISTS (SELECT 1 FROM span AS s
                    WHERE s.submission_id = j.submission_id
                      AND j.job_id BETWEEN s.first AND s.first + s.jobs - 1)
 LIMIT :limit;

-- name: check_live_attempts
SELECT format('attempt %s is live, but its job %s is %s', a.attempt_id, a.job_id, j.state)
  FROM attempt AS a JOIN job AS j ON j.job_id = a.job_id
 WHERE a.live = 1 AND j.state <> 'Waiting'
UNION ALL
SELECT format('attempt %s is live at epoch %s, but its job %s is at %s', a.attempt_id, a.epoch,
              a.job_id, j.epoch)
  FROM attempt AS a JOIN job AS j ON j.job_id = a.job_id
 WHERE a.live = 1 AND a.epoch <> j.epoch + 1
   AND (a.epoch <> j.epoch OR j.last_attempt IS DISTINCT FROM a.attempt_id)
UNION ALL
SELECT format('attempt %s is still open, but it is not the last one of a waiting job', a.attempt_id)
  FROM attempt AS a JOIN job AS j ON j.job_id = a.job_id
 WHERE a.open = 1 AND a.live = 0
   AND (j.state <> 'Waiting' OR j.last_attempt IS DISTINCT FROM a.attempt_id)
UNION ALL
SELECT format('attempt %s is live on the unknown pilot %s', a.attempt_id, a.pilot)
  FROM attempt AS a
 WHERE a.live = 1 AND NOT EXISTS (SELECT 1 FROM pilot AS p WHERE p.pilot = a.pilot)
 LIMIT :limit;

-- name: check_failures
-- Failed results in the job's present round. Losses are not checked: the rows do not show a loss
-- that a returning pilot has taken back.
-- Attempts that a person ended also have the event `held`, but no result.
WITH counted AS (
    SELECT job_id, round, count(*) AS failures FROM attempt
     WHERE usage IS NOT NULL
       AND (event IN ('retry', 'payload_failed')
            OR (event = 'held'
                AND coalesce(how, '') NOT IN ('declined', 'lost', 'stale', 'drained', 'killed',
                                              'input', 'software', 'other')))
     GROUP BY job_id, round
)
SELECT format('job %s has %s failures, but its attempts have %s', j.job_id, j.failures,
              coalesce(c.failures, 0))
  FROM job AS j LEFT JOIN counted AS c ON c.job_id = j.job_id AND c.round = j.round
 WHERE j.failures <> coalesce(c.failures, 0)
 LIMIT :limit;

-- name: check_references
-- The server checks declared references. A reference to class is not declared, because checking it
-- for every job would be slow.
SELECT format('row %s of job refers to a row of class that does not exist', j.job_id) FROM job AS j
 WHERE NOT EXISTS (SELECT 1 FROM class AS c WHERE c.class_id = j.class_id)
 LIMIT :limit;

-- name: check_catalogue
-- Own values of files, their states, and the rows that they refer to.
WITH own AS (
    SELECT f.file_id, f.set_id, f.community_id, o.key,
           CASE json_typeof(o.value) WHEN 'string' THEN 0
                                     WHEN 'boolean' THEN (o.value::text = 'true')::int
                                     ELSE (o.value #>> '{}')::float8 END AS number,
           CASE json_typeof(o.value) WHEN 'string' THEN o.value #>> '{}' ELSE '' END AS text
      FROM file AS f CROSS JOIN json_each(f.own::json) AS o
     WHERE f.own IS NOT NULL
)
SELECT format('file %s has an own value of %s that no search finds', o.file_id, o.key)
  FROM own AS o LEFT JOIN meta_key AS k ON k.community_id = o.community_id AND k.key = o.key
 WHERE NOT EXISTS (
       SELECT 1 FROM own_value AS v
        WHERE v.set_id = o.set_id AND v.key_id = k.key_id AND v.file_id = o.file_id
          AND v.number = o.number AND v.text = o.text)
UNION ALL
SELECT format('a search finds a value of %s for file %s, which has none', k.key, v.file_id)
  FROM own_value AS v
  LEFT JOIN meta_key AS k ON k.key_id = v.key_id
  LEFT JOIN file AS f ON f.file_id = v.file_id AND f.set_id = v.set_id
 WHERE f.file_id IS NULL OR k.key_id IS NULL
    OR NOT EXISTS (SELECT 1 FROM json_each(coalesce(f.own, '{}')::json) AS o WHERE o.key = k.key)
UNION ALL
SELECT format('file %s is %s, but its copies imply another state', f.file_id, f.state)
  FROM file AS f
  LEFT JOIN (SELECT file_id, count(*) FILTER (WHERE state = 'Available') AS good,
                    count(*) FILTER (WHERE state = 'Bad') AS bad, count(*) AS copies
               FROM replica GROUP BY file_id) AS r USING (file_id)
 WHERE f.state <> 'Removed'
   AND f.state <> CASE WHEN coalesce(r.good, 0) > 0 THEN 'Available'
                       WHEN coalesce(r.bad, 0) > 0 AND r.bad = r.copies THEN 'Lost'
                       ELSE 'Missing' END
UNION ALL
SELECT format('file %s has metadata %s, which do not exist', f.file_id, f.set_id)
  FROM file AS f LEFT JOIN meta_set AS m USING (set_id)
 WHERE m.set_id IS NULL
UNION ALL
SELECT format('a copy on %s belongs to file %s, which does not exist', r.storage, r.file_id)
  FROM replica AS r LEFT JOIN file AS f USING (file_id)
 WHERE f.file_id IS NULL
UNION ALL
SELECT format('file %s is in dataset %s, but one of them does not exist', d.file_id, d.dataset_id)
  FROM dataset_file AS d
  LEFT JOIN file AS f USING (file_id)
  LEFT JOIN dataset AS t USING (dataset_id)
 WHERE f.file_id IS NULL OR t.dataset_id IS NULL
 LIMIT :limit;

-- name: check_transformations
-- Counters of transformations, compared with the rows of their inputs and tasks.
WITH counted AS (
    SELECT transformation_id, input_no, state, count(*) AS files FROM input GROUP BY 1, 2, 3
), worked AS (
    SELECT transformation_id, state, count(*) AS tasks FROM task GROUP BY 1, 2
), made AS (
    SELECT transformation_id, count(*) AS tasks FROM task GROUP BY 1
)
SELECT format('input %s of transformation %s, %s: says %s files, the rows say %s',
              n.input_no, n.transformation_id, n.state, n.files, coalesce(c.files, 0))
  FROM input_count AS n LEFT JOIN counted AS c USING (transformation_id, input_no, state)
 WHERE n.files <> coalesce(c.files, 0)
UNION ALL
SELECT format('tasks of transformation %s, %s: says %s, the rows say %s',
              n.transformation_id, n.state, n.tasks, coalesce(w.tasks, 0))
  FROM task_count AS n LEFT JOIN worked AS w USING (transformation_id, state)
 WHERE n.tasks <> coalesce(w.tasks, 0)
UNION ALL
SELECT format('transformation %s says that it has made %s tasks, the rows say %s',
              r.transformation_id, r.tasks_made, coalesce(m.tasks, 0))
  FROM transformation AS r LEFT JOIN made AS m USING (transformation_id)
 WHERE r.tasks_made <> coalesce(m.tasks, 0)
UNION ALL
SELECT format('file %s is Assigned in transformation %s, and its task %s is %s',
              i.file_id, i.transformation_id, i.task_id, coalesce(t.state, 'not there'))
  FROM input AS i LEFT JOIN task AS t ON t.task_id = i.task_id
 WHERE i.state = 'Assigned' AND coalesce(t.state, '') <> 'Created'
UNION ALL
SELECT format('task %s is Created, its job %s is %s, and nobody was told',
              t.task_id, t.job_id, j.state)
  FROM task AS t JOIN job AS j ON j.job_id = t.job_id
 WHERE t.state = 'Created' AND j.state IN ('Done', 'Failed', 'Killed')
   AND NOT EXISTS (SELECT 1 FROM task_end AS e WHERE e.task_id = t.task_id)
 LIMIT :limit;

-- name: check_remnants
WITH counted AS (
    SELECT storage, community, count(*) FILTER (WHERE state <> 'Gone') AS waiting,
           coalesce(sum(bytes) FILTER (WHERE state <> 'Gone'), 0) AS waiting_bytes,
           count(*) FILTER (WHERE state <> 'Gone' AND failures > 0) AS failing
      FROM remnant GROUP BY storage, community
)
SELECT format('remnants of %s on %s: %s wait with %s bytes and %s fail, the rows say %s, %s and %s',
              c.community, c.storage, c.waiting, c.waiting_bytes, c.failing,
              coalesce(r.waiting, 0), coalesce(r.waiting_bytes, 0), coalesce(r.failing, 0))
  FROM remnant_count AS c LEFT JOIN counted AS r USING (storage, community)
 WHERE c.waiting <> coalesce(r.waiting, 0)
    OR (c.waiting_bytes <> coalesce(r.waiting_bytes, 0)
        AND (c.waiting_bytes <> 9007199254740991 OR c.waiting = 0)) -- a capped sum stays
    OR c.failing <> coalesce(r.failing, 0)
UNION ALL
SELECT format('remnants of %s on %s are not counted', r.community, r.storage)
  FROM counted AS r LEFT JOIN remnant_count AS c USING (storage, community)
 WHERE c.waiting IS NULL
UNION ALL
SELECT format('remnant %s is being swept, but its path belongs to file %s', m.remnant_id, r.file_id)
  FROM remnant AS m
  JOIN replica AS r ON r.storage = m.storage AND r.path = m.path
  JOIN file AS f ON f.file_id = r.file_id
 WHERE m.state <> 'Waiting' AND r.state IN ('Available', 'Copying') AND f.state <> 'Removed'
UNION ALL
SELECT format('remnant %s belongs to sweep %s, which does not exist', m.remnant_id, m.sweep_id)
  FROM remnant AS m
 WHERE m.sweep_id IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM sweep AS w WHERE w.sweep_id = m.sweep_id)
 LIMIT :limit;
