-- What is read of the catalogue beside the writer. All that give files give the same columns.

-- name: keys_in_query
SELECT k.key_id, k.key, k.type, k.is_own
  FROM json_each(:keys) AS i
 CROSS JOIN meta_key AS k ON k.community_id = :community_id AND k.key = i.value;

-- name: meta_sets_after
SELECT set_id, metadata FROM meta_set
 WHERE community_id = :community_id AND set_id > :after
 ORDER BY set_id LIMIT :limit;

-- name: meta_sets_given
SELECT m.set_id, m.metadata FROM json_each(:ids) AS i CROSS JOIN meta_set AS m
    ON m.set_id = i.value;

-- name: files_of_set
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM file AS f
  JOIN data_scope AS s ON s.scope_id = f.scope_id
 WHERE f.set_id = :set_id AND f.file_id > :after AND f.state = 'Available'
 ORDER BY f.file_id LIMIT :limit;

-- name: files_of_set_otherwise
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM file AS f
  JOIN data_scope AS s ON s.scope_id = f.scope_id
 WHERE f.set_id = :set_id AND f.file_id > :after AND f.state <> 'Available'
   AND f.state IN (SELECT value FROM json_each(:states))
 ORDER BY f.file_id LIMIT :limit;

-- name: own_numbers_of_sets
SELECT v.set_id, v.file_id
  FROM json_each(:sets) AS i
 CROSS JOIN own_value AS v ON v.set_id = i.value
 WHERE v.key_id = :key_id AND v.number >= :low AND v.number <= :high
 LIMIT :limit;

-- name: own_texts_of_sets
SELECT v.set_id, v.file_id
  FROM json_each(:sets) AS i
 CROSS JOIN own_value AS v ON v.set_id = i.value
 WHERE v.key_id = :key_id AND v.number = 0 AND v.text >= :low AND v.text <= :high
 LIMIT :limit;

-- name: files_of_dataset
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM dataset_file AS d
 CROSS JOIN file AS f ON f.file_id = d.file_id
 CROSS JOIN data_scope AS s ON s.scope_id = f.scope_id
 WHERE d.dataset_id = :dataset_id AND d.file_id > :after
 ORDER BY d.file_id LIMIT :limit;

-- name: files_given
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM json_each(:ids) AS i
 CROSS JOIN file AS f ON f.file_id = i.value
 CROSS JOIN data_scope AS s ON s.scope_id = f.scope_id;

-- name: files_by_name
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM json_each(:names) AS i
 CROSS JOIN data_scope AS s
    ON s.community_id = :community_id AND s.scope = json_extract(i.value, '$[0]')
 CROSS JOIN file AS f ON f.scope_id = s.scope_id AND f.name = json_extract(i.value, '$[1]');

-- name: files_changed
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM file AS f
  JOIN data_scope AS s ON s.scope_id = f.scope_id
 WHERE f.community_id = :community_id AND f.seq > :since
 ORDER BY f.seq LIMIT :limit;

-- name: last_change
SELECT max(seq) FROM file WHERE community_id = :community_id;

-- name: files_of_jobs
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM json_each(:ids) AS i
 CROSS JOIN file AS f ON f.job_id = i.value
 CROSS JOIN data_scope AS s ON s.scope_id = f.scope_id
 LIMIT :limit;

-- name: datasets_after
SELECT d.dataset_id, s.scope, d.name, d.is_open, d.metadata, d.owner_id, d.created_at
  FROM data_scope AS s
  JOIN dataset AS d ON d.scope_id = s.scope_id
 WHERE s.community_id = :community_id AND (s.scope, d.name) > (:scope, :name)
 ORDER BY s.scope, d.name LIMIT :limit;

-- name: datasets_of_files
SELECT d.file_id, s.scope, t.name
  FROM json_each(:ids) AS i
 CROSS JOIN dataset_file AS d ON d.file_id = i.value
 CROSS JOIN dataset AS t ON t.dataset_id = d.dataset_id
 CROSS JOIN data_scope AS s ON s.scope_id = t.scope_id
 ORDER BY d.file_id, s.scope, t.name;

-- name: inputs_of_jobs
SELECT j.job_id, j.file_id
  FROM json_each(:ids) AS i
 CROSS JOIN job_input AS j ON j.job_id = i.value
 ORDER BY j.job_id, j.position;

-- name: jobs_reading
SELECT j.file_id, j.job_id
  FROM json_each(:ids) AS i
 CROSS JOIN job_input AS j ON j.file_id = i.value
 LIMIT :limit;

-- name: check_catalogue
-- Own values of files, their states and what they belong to.
SELECT format('file %d has a value of its own of %s that no search would find', f.file_id, o.key)
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
SELECT format('a search finds a value of %s of file %d, which has none', k.key, v.file_id)
  FROM own_value AS v
  LEFT JOIN meta_key AS k ON k.key_id = v.key_id
  LEFT JOIN file AS f ON f.file_id = v.file_id AND f.set_id = v.set_id
 WHERE f.file_id IS NULL OR k.key_id IS NULL
    OR NOT EXISTS (SELECT 1 FROM json_each(f.own) AS o WHERE o.key = k.key)
UNION ALL
SELECT format('file %d is %s, which its copies do not say', f.file_id, f.state)
  FROM file AS f
  LEFT JOIN (SELECT file_id, sum(state = 'Available') AS good, sum(state = 'Bad') AS bad,
                    count(*) AS copies
               FROM replica GROUP BY file_id) AS r USING (file_id)
 WHERE f.state <> 'Removed'
   AND f.state <> CASE WHEN coalesce(r.good, 0) > 0 THEN 'Available'
                       WHEN coalesce(r.bad, 0) > 0 AND r.bad = r.copies THEN 'Lost'
                       ELSE 'Missing' END
UNION ALL
SELECT format('file %d has metadata %d, which are not there', f.file_id, f.set_id)
  FROM file AS f LEFT JOIN meta_set AS m USING (set_id)
 WHERE m.set_id IS NULL
UNION ALL
SELECT format('a copy at %s is of file %d, which is not there', r.storage, r.file_id)
  FROM replica AS r LEFT JOIN file AS f USING (file_id)
 WHERE f.file_id IS NULL
UNION ALL
SELECT format('file %d lies in dataset %d, and one of them is not there', d.file_id, d.dataset_id)
  FROM dataset_file AS d
  LEFT JOIN file AS f USING (file_id)
  LEFT JOIN dataset AS t USING (dataset_id)
 WHERE f.file_id IS NULL OR t.dataset_id IS NULL
 LIMIT :limit;
