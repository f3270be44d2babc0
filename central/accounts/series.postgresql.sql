-- name: insert_series
-- A central that was restarted within the slot adds to the counts of the process before.
INSERT INTO series AS s (step_s, at, key_id, waiting, running, done, failed, cpu_s, wall_s, core_s,
                         hs23_s, bytes_in, bytes_out)
VALUES (:step_s, :at, :key_id, :waiting, :running, :done, :failed, :cpu_s, :wall_s, :core_s,
        :hs23_s, :bytes_in, :bytes_out)
    ON CONFLICT (step_s, at, key_id) DO UPDATE
   SET waiting = excluded.waiting, running = excluded.running, done = s.done + excluded.done,
       failed = s.failed + excluded.failed, cpu_s = s.cpu_s + excluded.cpu_s,
       wall_s = s.wall_s + excluded.wall_s, core_s = s.core_s + excluded.core_s,
       hs23_s = s.hs23_s + excluded.hs23_s,
       bytes_in = least(s.bytes_in::numeric + excluded.bytes_in, 9007199254740991),
       bytes_out = least(s.bytes_out::numeric + excluded.bytes_out, 9007199254740991);

-- name: roll_up_series
-- Make the complete slots that are missing, from the finer ones.
INSERT INTO series (step_s, at, key_id, waiting, running, done, failed, cpu_s, wall_s, core_s,
                    hs23_s, bytes_in, bytes_out)
SELECT :step_s::bigint, f.at / :step_s::bigint * :step_s::bigint AS slot, f.key_id,
       sum(f.waiting * s.samples) / n.samples, sum(f.running * s.samples) / n.samples,
       sum(f.done), sum(f.failed), sum(f.cpu_s), sum(f.wall_s), sum(f.core_s), sum(f.hs23_s),
       least(sum(f.bytes_in), 9007199254740991), least(sum(f.bytes_out), 9007199254740991)
  FROM series AS f
  JOIN series_slot AS s ON s.step_s = f.step_s AND s.at = f.at
  JOIN (SELECT at / :step_s::bigint * :step_s::bigint AS slot, sum(samples)::float8 AS samples
          FROM series_slot
         WHERE step_s = :finer_s::bigint AND at >= :from::bigint AND at < :until::bigint
         GROUP BY 1) AS n ON n.slot = f.at / :step_s::bigint * :step_s::bigint
 WHERE f.step_s = :finer_s::bigint AND f.at >= :from::bigint AND f.at < :until::bigint
 GROUP BY 2, f.key_id, n.samples
    ON CONFLICT (step_s, at, key_id) DO UPDATE
   SET waiting = excluded.waiting, running = excluded.running, done = excluded.done,
       failed = excluded.failed, cpu_s = excluded.cpu_s, wall_s = excluded.wall_s,
       core_s = excluded.core_s, hs23_s = excluded.hs23_s, bytes_in = excluded.bytes_in,
       bytes_out = excluded.bytes_out;

-- name: roll_up_series_slots
INSERT INTO series_slot (step_s, at, samples)
SELECT :step_s::bigint, at / :step_s::bigint * :step_s::bigint, sum(samples)
  FROM series_slot
 WHERE step_s = :finer_s::bigint AND at >= :from::bigint AND at < :until::bigint
 GROUP BY 2
    ON CONFLICT (step_s, at) DO UPDATE SET samples = excluded.samples;

-- name: series
SELECT s.at,
       CASE :by::text WHEN 'site' THEN k.site WHEN 'type' THEN k.type
                      WHEN 'community' THEN k.community ELSE '' END AS label,
       sum(s.waiting), sum(s.running), sum(s.done)::bigint, sum(s.failed)::bigint, sum(s.cpu_s),
       sum(s.wall_s), sum(s.core_s), sum(s.hs23_s), sum(s.bytes_in)::float8,
       sum(s.bytes_out)::float8
  FROM series AS s
  JOIN series_key AS k USING (key_id)
 WHERE s.step_s = :step_s AND s.at >= :since AND s.at < :until
   AND (:community::text IS NULL OR k.community = :community)
   AND (:site::text IS NULL OR k.site = :site)
   AND (:type::text IS NULL OR k.type = :type)
 GROUP BY 1, 2
 ORDER BY 2, 1;

-- name: add_to_account
INSERT INTO account AS a (day, community, group_name, owner_id, type, site, done, failed, cpu_s,
                          wall_s, core_s, hs23_s, bytes_in, bytes_out)
VALUES (:day, :community, :group, :owner_id, :type, :site, :done, :failed, :cpu_s, :wall_s, :core_s,
        :hs23_s, :bytes_in, :bytes_out)
    ON CONFLICT (day, community, group_name, owner_id, type, site) DO UPDATE
   SET done = a.done + excluded.done, failed = a.failed + excluded.failed,
       cpu_s = a.cpu_s + excluded.cpu_s, wall_s = a.wall_s + excluded.wall_s,
       core_s = a.core_s + excluded.core_s, hs23_s = a.hs23_s + excluded.hs23_s,
       bytes_in = least(a.bytes_in::numeric + excluded.bytes_in, 9007199254740991),
       bytes_out = least(a.bytes_out::numeric + excluded.bytes_out, 9007199254740991);

-- name: accounts
SELECT CASE :by::text WHEN 'site' THEN a.site WHEN 'type' THEN a.type
                      WHEN 'community' THEN a.community WHEN 'group' THEN a.group_name
                      WHEN 'owner' THEN a.owner_id::text
                      WHEN 'day' THEN (DATE '1970-01-01' + a.day::int)::text ELSE '' END AS label,
       sum(a.done)::bigint, sum(a.failed)::bigint, sum(a.cpu_s), sum(a.wall_s), sum(a.core_s),
       sum(a.hs23_s), sum(a.bytes_in)::float8, sum(a.bytes_out)::float8
  FROM account AS a
 WHERE a.day >= :since AND a.day < :until
   AND (:community::text IS NULL OR a.community = :community)
   AND (:owner_id::bigint IS NULL OR a.owner_id = :owner_id)
   AND (:groups::text IS NULL
        OR a.group_name IN (SELECT json_array_elements_text(:groups::json)))
 GROUP BY 1
 ORDER BY 1
 LIMIT :limit;
