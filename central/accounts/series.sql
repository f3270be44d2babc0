-- Slots of 10 s, 1 min and 10 min. Coarser ones are made from finer ones. Bytes are capped at
-- 2^53 - 1, because a sum beyond 64 bits is an error, which would come back at each start.

-- name: insert_series_key
INSERT INTO series_key (community, site, type) VALUES (:community, :site, :type)
    ON CONFLICT DO NOTHING;

-- name: get_series_key
SELECT key_id FROM series_key WHERE community = :community AND site = :site AND type = :type;

-- name: insert_series_slot
INSERT INTO series_slot (step_s, at, samples) VALUES (:step_s, :at, 1) ON CONFLICT DO NOTHING;

-- name: last_series_slot
SELECT max(at) FROM series_slot WHERE step_s = :step_s AND at < :before;

-- name: oldest_series_slot
SELECT min(at) FROM series_slot WHERE step_s = :step_s;

-- name: drop_series
DELETE FROM series WHERE step_s = :step_s AND at < :before;

-- name: drop_series_slots
DELETE FROM series_slot WHERE step_s = :step_s AND at < :before;

-- name: series_slots
SELECT at FROM series_slot
 WHERE step_s = :step_s AND at >= :since AND at < :until ORDER BY at LIMIT :limit;
