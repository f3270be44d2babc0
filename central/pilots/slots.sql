-- name: insert_slot
INSERT INTO slot (pilot, shape) VALUES (:pilot, :shape);

-- name: place_slot
UPDATE slot SET slot = :slot WHERE pilot = :pilot AND (slot IS NULL OR slot = :slot);

-- name: kept_slots
SELECT s.pilot, p.community, p.site, p.element, s.shape, s.slot, p.state, p.made_at,
       p.registered_at, p.ended_at, p.host
  FROM slot s JOIN pilot p ON p.pilot = s.pilot
 WHERE s.kept = 1 AND s.pilot > :after
 ORDER BY s.pilot
 LIMIT :limit;

-- name: forget_slot
UPDATE slot SET kept = 0 WHERE pilot = :pilot;

-- name: keep_output
UPDATE slot SET exit_code = :exit_code, stdout = :stdout, stderr = :stderr WHERE pilot = :pilot;

-- name: slot_output
SELECT slot, exit_code, stdout, stderr FROM slot WHERE pilot = :pilot;
