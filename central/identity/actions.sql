-- name: action
SELECT body_hash, at, progress, complete, ids
  FROM action LEFT JOIN action_ids USING (action_id)
 WHERE community = :community AND issuer = :issuer AND subject = :subject AND key = :key;

-- name: keep_action
INSERT INTO action (community, issuer, subject, key, body_hash, at, progress, complete)
VALUES (:community, :issuer, :subject, :key, :body_hash, :at, :progress, :complete)
    ON CONFLICT (community, issuer, subject, key)
    DO UPDATE SET progress = excluded.progress, complete = excluded.complete
RETURNING action_id;

-- name: keep_action_ids
INSERT INTO action_ids (action_id, ids) VALUES (:action_id, :ids) ON CONFLICT DO NOTHING;

-- name: drop_action_ids
DELETE FROM action_ids WHERE action_id = :action_id;

-- name: old_actions
SELECT action_id FROM action WHERE at < :before ORDER BY at LIMIT :limit;

-- name: remove_action_ids
DELETE FROM action_ids WHERE action_id IN (SELECT value::bigint FROM json_each(:actions));

-- name: remove_actions
DELETE FROM action WHERE action_id IN (SELECT value::bigint FROM json_each(:actions));
