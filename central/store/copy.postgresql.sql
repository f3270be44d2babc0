-- name: empty_input_count
-- Triggers have counted the copied rows; the copied counters replace these counts.
DELETE FROM input_count;

-- name: empty_task_count
DELETE FROM task_count;

-- name: drop_new_store
-- Rows that the first opening of the new tables has made.
DELETE FROM store;

-- name: drop_new_counters
DELETE FROM counter;

-- name: continue_ids
-- Ids that the database assigns continue after the copied ones.
SELECT setval(pg_get_serial_sequence('site', 'site_id'), coalesce(max(site_id), 0) + 1, false)
  FROM site
UNION ALL
SELECT setval(pg_get_serial_sequence('evidence', 'evidence_id'), coalesce(max(evidence_id), 0) + 1, false)
  FROM evidence
UNION ALL
SELECT setval(pg_get_serial_sequence('note', 'note_id'), coalesce(max(note_id), 0) + 1, false)
  FROM note
UNION ALL
SELECT setval(pg_get_serial_sequence('series_key', 'key_id'), coalesce(max(key_id), 0) + 1, false)
  FROM series_key
UNION ALL
SELECT setval(pg_get_serial_sequence('log_source', 'source_id'), coalesce(max(source_id), 0) + 1, false)
  FROM log_source
UNION ALL
SELECT setval(pg_get_serial_sequence('data_community', 'community_id'), coalesce(max(community_id), 0) + 1, false)
  FROM data_community
UNION ALL
SELECT setval(pg_get_serial_sequence('data_scope', 'scope_id'), coalesce(max(scope_id), 0) + 1, false)
  FROM data_scope
UNION ALL
SELECT setval(pg_get_serial_sequence('meta_key', 'key_id'), coalesce(max(key_id), 0) + 1, false)
  FROM meta_key
UNION ALL
SELECT setval(pg_get_serial_sequence('meta_set', 'set_id'), coalesce(max(set_id), 0) + 1, false)
  FROM meta_set
UNION ALL
SELECT setval(pg_get_serial_sequence('action', 'action_id'), coalesce(max(action_id), 0) + 1, false)
  FROM action
UNION ALL
SELECT setval(pg_get_serial_sequence('ban', 'ban_id'), coalesce(max(ban_id), 0) + 1, false)
  FROM ban;
