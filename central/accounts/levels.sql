-- name: keep_levels
INSERT INTO levels (one, at, levels) VALUES (1, :at, :levels)
    ON CONFLICT (one) DO UPDATE SET at = excluded.at, levels = excluded.levels;

-- name: levels
SELECT at, levels FROM levels;
