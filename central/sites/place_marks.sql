-- name: put_place_mark
INSERT INTO place_mark (place, mark, who, reason, at)
VALUES (:place, :mark, :who, :reason, :at)
    ON CONFLICT (place) DO UPDATE
   SET mark = excluded.mark, who = excluded.who, reason = excluded.reason, at = excluded.at;

-- name: drop_place_mark
DELETE FROM place_mark WHERE place = :place;

-- name: place_marks
SELECT place, mark, who, reason, at FROM place_mark ORDER BY place LIMIT :limit;

-- name: drop_held_places
DELETE FROM held_place;

-- name: insert_held_place
INSERT INTO held_place (number, facts) VALUES (:number, :facts);

-- name: held_places
SELECT facts FROM held_place ORDER BY number LIMIT :limit;
