-- name: production_steps
-- Documents are long, so they are read only on request.
SELECT s.production_id, s.place, s.step, s.parents,
       t.transformation_id, t.community, t.group_name, t.owner_id, t.name, t.state, t.reason,
       CASE WHEN :documents THEN t.doc ELSE x'' END, t.parent_id, t.tasks_wanted, t.tasks_made,
       t.scouts_until, t.scouted, t.closing, t.flushing, t.seeded, t.seed_place,
       t.made_at, t.changed_at, t.judged_from, t.priority
  FROM json_each(:productions) AS p
 CROSS JOIN production_step AS s ON s.production_id = p.value
 CROSS JOIN transformation AS t ON t.transformation_id = s.transformation_id
 ORDER BY s.production_id, s.place;

-- name: files_made
-- The bytes are capped at 2^53 - 1: up to there their sum is exact.
SELECT count(*), CAST(min(total(f.bytes), 9007199254740991) AS INTEGER)
  FROM json_each(:transformations) AS w
 CROSS JOIN task AS t ON t.transformation_id = w.value
 CROSS JOIN file AS f ON f.job_id = t.job_id
 WHERE f.state = 'Available';
