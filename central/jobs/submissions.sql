-- name: reserve
-- All ids come from here, so that no id is used twice.
UPDATE counter SET next = next + :count::bigint WHERE name = :name RETURNING next - :count::bigint;

-- name: next_ids
SELECT name, next FROM counter;

-- name: get_owner
SELECT owner_id, community, issuer, subject, name FROM owner
 WHERE community = :community AND issuer = :issuer AND subject = :subject;

-- name: all_owners
-- No limit: the memory of a central has all owners.
SELECT owner_id, community, issuer, subject, name FROM owner ORDER BY owner_id;

-- name: live_classes
-- The row of a matched or running job says Waiting.
SELECT class_id, community, group_name, owner_id, type, needs, preference FROM class
 WHERE class_id IN (SELECT class_id FROM zone WHERE state = 'Waiting' AND jobs > 0)
 ORDER BY class_id;

-- name: classes_given
SELECT class_id, community, group_name, owner_id, type, needs, preference FROM class
 WHERE class_id IN (SELECT value::bigint FROM json_each(:ids))
 ORDER BY class_id;

-- name: insert_site
INSERT INTO site (site) VALUES (:site) ON CONFLICT DO NOTHING;

-- name: get_site
SELECT site_id FROM site WHERE site = :site;

-- name: get_submission
SELECT submission_id, community, owner_id, key, body_hash, name, template, at, complete, ranges
  FROM submission WHERE submission_id = :submission_id;

-- name: follow_submission
-- Let the owner be told: central/notifications.
INSERT INTO subscription (kind, subject_id, owner_id, events)
VALUES ('submission', :submission_id, :owner_id, :notify);

-- name: ranges_of
SELECT submission_id, ranges FROM submission
 WHERE submission_id IN (SELECT value::bigint FROM json_each(:ids));

-- name: get_submission_by_key
SELECT submission_id, community, owner_id, key, body_hash, name, template, at, complete, ranges
  FROM submission WHERE community = :community AND owner_id = :owner_id AND key = :key;

-- name: get_arriving_ranges
SELECT ranges FROM submission WHERE submission_id = :submission_id AND complete = 0 FOR UPDATE;

-- name: set_ranges
UPDATE submission SET ranges = :ranges WHERE submission_id = :submission_id AND complete = 0;

-- name: finish_submission
UPDATE submission SET complete = 1, body_hash = :body_hash
 WHERE submission_id = :submission_id AND complete = 0;

-- name: insert_job
-- ?1 job, ?2 submission, ?3 class, ?4 priority, ?5 retries, ?6 queue_until
INSERT INTO job (job_id, submission_id, class_id, priority, retries, queue_until)
VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: insert_body
-- ?1 job, ?2 name, ?3 body
INSERT INTO body (job_id, name, body) VALUES (?1, ?2, ?3);

-- name: empty_zones
-- Subtract jobs that never became visible, hence all Waiting, from their zones.
UPDATE zone
   SET jobs = jobs - (SELECT count(*) FROM job
                       WHERE job_id BETWEEN :first AND :last
                         AND job_id >> 10 = zone.zone AND class_id = zone.class_id)
 WHERE class_id IN (SELECT class_id FROM job WHERE job_id BETWEEN :first AND :last)
   AND state = 'Waiting' AND zone BETWEEN :first::bigint >> 10 AND :last::bigint >> 10;

-- name: remove_jobs
DELETE FROM job WHERE job_id BETWEEN :first AND :last;

-- name: remove_bodies
DELETE FROM body WHERE job_id BETWEEN :first AND :last;

-- name: remove_submission
DELETE FROM submission WHERE submission_id = :submission_id AND complete = 0;
