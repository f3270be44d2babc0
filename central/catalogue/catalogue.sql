-- Statements of the writer. The statements of the readers are in catalogue_reads.sql.

-- name: data_community
SELECT community_id FROM data_community WHERE community = :community;

-- name: insert_data_community
INSERT INTO data_community (community) VALUES (:community) ON CONFLICT DO NOTHING;

-- name: data_scope
SELECT scope_id FROM data_scope WHERE community_id = :community_id AND scope = :scope;

-- name: insert_data_scope
INSERT INTO data_scope (community_id, scope) VALUES (:community_id, :scope)
    ON CONFLICT DO NOTHING;

-- name: meta_keys
SELECT key_id, key, type, is_own FROM meta_key WHERE community_id = :community_id ORDER BY key;

-- name: insert_meta_key
INSERT INTO meta_key (community_id, key, type) VALUES (:community_id, :key, :type)
RETURNING key_id;

-- name: make_key_own
UPDATE meta_key SET is_own = 1 WHERE key_id = :key_id;

-- name: meta_values
SELECT number, text FROM meta_value WHERE key_id = :key_id ORDER BY number, text;

-- name: insert_meta_value
INSERT INTO meta_value (key_id, number, text) VALUES (:key_id, :number, :text)
    ON CONFLICT DO NOTHING;

-- name: remove_meta_values
DELETE FROM meta_value WHERE key_id = :key_id;

-- name: meta_set_of_hash
SELECT set_id FROM meta_set WHERE community_id = :community_id AND hash = :hash;

-- name: insert_meta_set
INSERT INTO meta_set (community_id, hash, metadata) VALUES (:community_id, :hash, :metadata)
RETURNING set_id;

-- name: meta_set
SELECT metadata FROM meta_set WHERE set_id = :set_id;

-- name: count_meta_sets
SELECT count(*) FROM meta_set WHERE community_id = :community_id;

-- name: files_named
-- On PostgreSQL, a writer waits here for other writers of the same file. It then reads the
-- committed row.
SELECT f.name, f.file_id, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own, f.owner_id
  FROM json_each(:names) AS i
 CROSS JOIN file AS f ON f.scope_id = :scope_id AND f.name = i.value
 ORDER BY f.file_id FOR NO KEY UPDATE OF f;

-- name: datasets_named
SELECT d.name, d.dataset_id, d.is_open, d.metadata
  FROM json_each(:names) AS i
 CROSS JOIN dataset AS d ON d.scope_id = :scope_id AND d.name = i.value;

-- name: insert_file
INSERT INTO file (file_id, community_id, scope_id, set_id, owner_id, job_id, epoch, seq, bytes,
                  adler32, sha256, state, created_at, name, own)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15);

-- name: insert_own_value
INSERT INTO own_value (set_id, key_id, number, text, file_id) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: remove_own_value
DELETE FROM own_value
 WHERE set_id = ?1 AND key_id = ?2 AND number = ?3 AND text = ?4 AND file_id = ?5;

-- name: put_replica
INSERT INTO replica (file_id, storage, path, state, changed_at) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (file_id, storage) DO UPDATE
   SET path = excluded.path, state = excluded.state, changed_at = excluded.changed_at;

-- name: remove_replica
DELETE FROM replica WHERE file_id = ?1 AND storage = ?2;

-- name: replicas_of_files
SELECT r.file_id, r.storage, r.path, r.state, r.changed_at
  FROM json_each(:ids) AS i
 CROSS JOIN replica AS r ON r.file_id = i.value::bigint
 ORDER BY r.file_id, r.storage;

-- name: change_file
-- Set all columns of a file that may change. The writer has read the row in this transaction.
UPDATE file SET seq = ?1, set_id = ?2, own = ?3, state = ?4, adler32 = ?5, sha256 = ?6
 WHERE file_id = ?7;

-- name: dataset_named
SELECT d.dataset_id, s.scope, d.name, d.is_open, d.metadata, d.owner_id, d.created_at
  FROM data_community AS c
  JOIN data_scope AS s ON s.community_id = c.community_id AND s.scope = :scope
  JOIN dataset AS d ON d.scope_id = s.scope_id AND d.name = :name
 WHERE c.community = :community;

-- name: insert_dataset
INSERT INTO dataset (dataset_id, community_id, scope_id, name, is_open, owner_id, metadata,
                     created_at)
VALUES (:dataset_id, :community_id, :scope_id, :name, 1, :owner_id, :metadata, :created_at);

-- name: open_dataset
UPDATE dataset SET is_open = :is_open WHERE dataset_id = :dataset_id;

-- name: attach_file
INSERT INTO dataset_file (dataset_id, file_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING
RETURNING ?3::bigint;

-- name: detach_file
DELETE FROM dataset_file WHERE dataset_id = ?1 AND file_id = ?2
RETURNING ?3::bigint;

-- name: insert_job_input
INSERT INTO job_input (job_id, position, file_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING;
