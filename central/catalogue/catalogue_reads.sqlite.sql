-- name: files_by_name
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM json_each(:names) AS i
 CROSS JOIN data_scope AS s
    ON s.community_id = :community_id AND s.scope = json_extract(i.value, '$[0]')
 CROSS JOIN file AS f ON f.scope_id = s.scope_id AND f.name = json_extract(i.value, '$[1]');

-- name: files_of_jobs
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM json_each(:ids) AS i
 CROSS JOIN file AS f ON f.job_id = i.value
 CROSS JOIN data_scope AS s ON s.scope_id = f.scope_id
 LIMIT :limit;

-- name: check_catalogue
-- Own values of files, their states, and the rows that they refer to.
SELECT format('file %d has an own value of %s that no search finds', f.file_id, o.key)
  FROM file AS f
 CROSS JOIN json_each(f.own) AS o
  LEFT JOIN meta_key AS k ON k.community_id = f.community_id AND k.key = o.key
 WHERE f.own IS NOT NULL
   AND NOT EXISTS (
       SELECT 1 FROM own_value AS v
        WHERE v.set_id = f.set_id AND v.key_id = k.key_id AND v.file_id = f.file_id
          AND v.number = CASE o.type WHEN 'text' THEN 0 ELSE o.value END
          AND v.text = CASE o.type WHEN 'text' THEN o.value ELSE '' END)
UNION ALL
SELECT format('a search finds a value of %s for file %d, which has none', k.key, v.file_id)
  FROM own_value AS v
  LEFT JOIN meta_key AS k ON k.key_id = v.key_id
  LEFT JOIN file AS f ON f.file_id = v.file_id AND f.set_id = v.set_id
 WHERE f.file_id IS NULL OR k.key_id IS NULL
    OR NOT EXISTS (SELECT 1 FROM json_each(f.own) AS o WHERE o.key = k.key)
UNION ALL
SELECT format('file %d is %s, but its copies imply another state', f.file_id, f.state)
  FROM file AS f
  LEFT JOIN (SELECT file_id, sum(state = 'Available') AS good, sum(state = 'Bad') AS bad,
                    count(*) AS copies
               FROM replica GROUP BY file_id) AS r USING (file_id)
 WHERE f.state <> 'Removed'
   AND f.state <> CASE WHEN coalesce(r.good, 0) > 0 THEN 'Available'
                       WHEN coalesce(r.bad, 0) > 0 AND r.bad = r.copies THEN 'Lost'
                       ELSE 'Missing' END
UNION ALL
SELECT format('file %d has metadata %d, which do not exist', f.file_id, f.set_id)
  FROM file AS f LEFT JOIN meta_set AS m USING (set_id)
 WHERE m.set_id IS NULL
UNION ALL
SELECT format('a copy on %s belongs to file %d, which does not exist', r.storage, r.file_id)
  FROM replica AS r LEFT JOIN file AS f USING (file_id)
 WHERE f.file_id IS NULL
UNION ALL
SELECT format('file %d is in dataset %d, but one of them does not exist', d.file_id, d.dataset_id)
  FROM dataset_file AS d
  LEFT JOIN file AS f USING (file_id)
  LEFT JOIN dataset AS t USING (dataset_id)
 WHERE f.file_id IS NULL OR t.dataset_id IS NULL
 LIMIT :limit;
