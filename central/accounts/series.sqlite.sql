-- name: insert_series
-- A central that was restarted within the slot adds to the counts of the process before.
INSERT INTO series (step_s, at, key_id, waiting, running, done, failed, cpu_s, wall_s, core_s,
                    hs23_s, bytes_in, bytes_out)
VALUES (:step_s, :at, :key_id, :waiting, :running, :done, :failed, :cpu_s, :wall_s, :core_s,
        :hs23_s, :bytes_in, :bytes_out)
    ON CONFLICT DO UPDATE
   SET waiting = excluded.waiting, running = excluded.running, done = done + excluded.done,
       failed = failed + excluded.failed, cpu_s = cpu_s + excluded.cpu_s,
       wall_s = wall_s + excluded.wall_s, core_s = core_s + excluded.core_s,
       hs23_s = hs23_s + excluded.hs23_s,
       bytes_in = min(bytes_in + excluded.bytes_in, 9007199254740991),
       bytes_out = min(bytes_out + excluded.bytes_out, 9007199254740991);

-- name: roll_up_series
-- Make the complete slots that are missing, from the finer ones.
INSERT OR REPLACE INTO series (step_s, at, key_id, waiting, running, done, failed, cpu_s, wall_s,
                               core_s, hs23_s, bytes_in, bytes_out)
SELECT :step_s, f.at / :step_s * :step_s AS slot, f.key_id, sum(f.waiting * s.samples) / n.samples,
       sum(f.running * s.samples) / n.samples, sum(f.done), sum(f.failed), sum(f.cpu_s),
       sum(f.wall_s), sum(f.core_s), sum(f.hs23_s),
       min(sum(f.bytes_in), 9007199254740991), min(sum(f.bytes_out), 9007199254740991)
  FROM series AS f
  JOIN series_slot AS s ON s.step_s = f.step_s AND s.at = f.at
  JOIN (SELECT at / :step_s * :step_s AS slot, sum(samples) AS samples
          FROM series_slot
         WHERE step_s = :finer_s AND at >= :from AND at < :until
         GROUP BY 1) AS n ON n.slot = f.at / :step_s * :step_s
 WHERE f.step_s = :finer_s AND f.at >= :from AND f.at < :until
 GROUP BY 2, f.key_id;

-- name: roll_up_series_slots
INSERT OR REPLACE INTO series_slot (step_s, at, samples)
SELECT :step_s, at / :step_s * :step_s, sum(samples)
  FROM series_slot
 WHERE step_s = :finer_s AND at >= :from AND at < :until
 GROUP BY 2;

-- name: series
SELECT s.at,
       CASE :by WHEN 'site' THEN k.site WHEN 'type' THEN k.type
                WHEN 'community' THEN k.community ELSE '' END AS label,
       sum(s.waiting), sum(s.running), sum(s.done), sum(s.failed), sum(s.cpu_s), sum(s.wall_s),
       sum(s.core_s), sum(s.hs23_s), total(s.bytes_in), total(s.bytes_out)
  FROM series AS s
  JOIN series_key AS k USING (key_id)
 WHERE s.step_s = :step_s AND s.at >= :since AND s.at < :until
   AND (:community IS NULL OR k.community = :community)
   AND (:site IS NULL OR k.site = :site)
   AND (:type IS NULL OR k.type = :type)
 GROUP BY s.at, label
 ORDER BY label, s.at;

-- name: add_to_account
INSERT INTO account (day, community, group_name, owner_id, type, site, done, failed, cpu_s, wall_s,
                     core_s, hs23_s, bytes_in, bytes_out)
VALUES (:day, :community, :group, :owner_id, :type, :site, :done, :failed, :cpu_s, :wall_s, :core_s,
        :hs23_s, :bytes_in, :bytes_out)
    ON CONFLICT DO UPDATE
   SET done = done + excluded.done, failed = failed + excluded.failed,
       cpu_s = cpu_s + excluded.cpu_s, wall_s = wall_s + excluded.wall_s,
       core_s = core_s + excluded.core_s, hs23_s = hs23_s + excluded.hs23_s,
       bytes_in = min(bytes_in + excluded.bytes_in, 9007199254740991),
       bytes_out = min(bytes_out + excluded.bytes_out, 9007199254740991);

-- name: accounts
SELECT CASE :by WHEN 'site' THEN a.site WHEN 'type' THEN a.type WHEN 'community' THEN a.community
                WHEN 'group' THEN a.group_name WHEN 'owner' THEN CAST(a.owner_id AS TEXT)
                WHEN 'day' THEN date(a.day * 86400, 'unixepoch') ELSE '' END AS label,
       sum(a.done), sum(a.failed), sum(a.cpu_s), sum(a.wall_s), sum(a.core_s), sum(a.hs23_s),
       total(a.bytes_in), total(a.bytes_out)
  FROM account AS a
 WHERE a.day >= :since AND a.day < :until
   AND (:community IS NULL OR a.community = :community)
   AND (:owner_id IS NULL OR a.owner_id = :owner_id)
   AND (:groups IS NULL OR a.group_name IN (SELECT value FROM json_each(:groups)))
 GROUP BY label
 ORDER BY label
 LIMIT :limit;
