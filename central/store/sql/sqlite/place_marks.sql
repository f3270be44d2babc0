-- name: put_place_mark
INSERT INTO place_mark (place, mark, who, reason, at)
VALUES (:place, :mark, :who, :reason, :at)
    ON CONFLICT (place) DO UPDATE
   SET mark = excluded.mark, who = excluded.who, reason = excluded.reason, at = excluded.at;

-- name: drop_place_mark
DELETE FROM place_mark WHERE place = :place;

-- name: place_marks
SELECT place, mark, who, reason, at FROM place_mark ORDER BY place LIMIT :limit;
