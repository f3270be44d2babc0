-- Statements of the readers. All statements that return files return the same columns.

-- name: keys_in_query
SELECT k.key_id, k.key, k.type, k.is_own
  FROM json_each(:keys) AS i
 CROSS JOIN meta_key AS k ON k.community_id = :community_id AND k.key = i.value;

-- name: paths_of_community
SELECT DISTINCT r.path
  FROM json_each(:paths) AS i
 CROSS JOIN replica AS r ON r.storage = :storage AND r.path = i.value
 CROSS JOIN file AS f ON f.file_id = r.file_id
 CROSS JOIN data_community AS c ON c.community_id = f.community_id
 WHERE c.community = :community AND r.state = 'Available';

-- name: meta_sets_after
SELECT set_id, metadata FROM meta_set
 WHERE community_id = :community_id AND set_id > :after
 ORDER BY set_id LIMIT :limit;

-- name: meta_sets_given
SELECT m.set_id, m.metadata FROM json_each(:ids) AS i CROSS JOIN meta_set AS m
    ON m.set_id = i.value::bigint;

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
 CROSS JOIN own_value AS v ON v.set_id = i.value::bigint
 WHERE v.key_id = :key_id AND v.number >= :low AND v.number <= :high
 LIMIT :limit;

-- name: own_texts_of_sets
SELECT v.set_id, v.file_id
  FROM json_each(:sets) AS i
 CROSS JOIN own_value AS v ON v.set_id = i.value::bigint
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

-- name: files_of_names
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM data_scope AS s
 CROSS JOIN file AS f ON f.scope_id = s.scope_id
 WHERE s.community_id = :community_id AND s.scope = :scope
   AND f.name >= :low AND f.name <= :high
 ORDER BY f.name LIMIT :limit;

-- name: scope_from
-- The first scope from this name on.
SELECT scope_id, scope FROM data_scope
 WHERE community_id = :community_id AND scope >= :scope
 ORDER BY scope LIMIT 1;

-- name: usage_of_scope
-- The first row counts the files of the page, the others those with a readable copy on a storage.
-- Two sums, of MiB and of the rest, stay below 2^63, whatever sizes files claim.
WITH page AS (
    SELECT file_id, name, state, bytes FROM file
     WHERE scope_id = :scope_id AND name > :after ORDER BY name LIMIT :limit
), present AS (
    SELECT file_id, bytes / 1048576 AS mib, bytes % 1048576 AS rest FROM page
     WHERE state <> 'Removed'
)
SELECT '' AS storage, count(*), sum(mib), sum(rest), (SELECT count(*) FROM page),
       (SELECT max(name) FROM page)
  FROM present
UNION ALL
SELECT r.storage, count(*), sum(p.mib), sum(p.rest), 0, ''
  FROM present AS p
 CROSS JOIN replica AS r ON r.file_id = p.file_id AND r.state = 'Available'
 GROUP BY r.storage;

-- name: usage_of_dataset
-- As usage_of_scope.
WITH page AS (
    SELECT file_id FROM dataset_file
     WHERE dataset_id = :dataset_id AND file_id > :after ORDER BY file_id LIMIT :limit
), present AS (
    SELECT f.file_id, f.bytes / 1048576 AS mib, f.bytes % 1048576 AS rest
      FROM page AS p
     CROSS JOIN file AS f ON f.file_id = p.file_id
     WHERE f.state <> 'Removed'
)
SELECT '' AS storage, count(*), sum(mib), sum(rest), (SELECT count(*) FROM page),
       (SELECT max(file_id) FROM page)
  FROM present
UNION ALL
SELECT r.storage, count(*), sum(p.mib), sum(p.rest), 0, 0
  FROM present AS p
 CROSS JOIN replica AS r ON r.file_id = p.file_id AND r.state = 'Available'
 GROUP BY r.storage;

-- name: files_given
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM json_each(:ids) AS i
 CROSS JOIN file AS f ON f.file_id = i.value::bigint
 CROSS JOIN data_scope AS s ON s.scope_id = f.scope_id;

-- name: files_changed
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM file AS f
  JOIN data_scope AS s ON s.scope_id = f.scope_id
 WHERE f.community_id = :community_id AND f.seq > :since
 ORDER BY f.seq LIMIT :limit;

-- name: last_change
SELECT max(seq) FROM file WHERE community_id = :community_id;

-- name: datasets_after
SELECT d.dataset_id, s.scope, d.name, d.is_open, d.metadata, d.owner_id, d.created_at
  FROM data_scope AS s
  JOIN dataset AS d ON d.scope_id = s.scope_id
 WHERE s.community_id = :community_id AND (s.scope, d.name) > (:scope::text, :name::text)
 ORDER BY s.scope, d.name LIMIT :limit;

-- name: datasets_of_files
SELECT d.file_id, s.scope, t.name
  FROM json_each(:ids) AS i
 CROSS JOIN dataset_file AS d ON d.file_id = i.value::bigint
 CROSS JOIN dataset AS t ON t.dataset_id = d.dataset_id
 CROSS JOIN data_scope AS s ON s.scope_id = t.scope_id
 ORDER BY d.file_id, s.scope, t.name;

-- name: inputs_of_jobs
SELECT j.job_id, j.file_id
  FROM json_each(:ids) AS i
 CROSS JOIN job_input AS j ON j.job_id = i.value::bigint
 ORDER BY j.job_id, j.position;

-- name: jobs_reading
SELECT j.file_id, j.job_id
  FROM json_each(:ids) AS i
 CROSS JOIN job_input AS j ON j.file_id = i.value::bigint
 LIMIT :limit;
