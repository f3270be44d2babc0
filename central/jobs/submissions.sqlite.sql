-- name: insert_owner
INSERT INTO owner (community, issuer, subject, name)
VALUES (:community, :issuer, :subject, :name)
    ON CONFLICT (community, issuer, subject)
    DO UPDATE SET name = excluded.name WHERE name <> excluded.name AND excluded.name <> '';

-- name: insert_class
INSERT INTO class (community, group_name, owner_id, type, needs, preference)
VALUES (:community, :group, :owner_id, :type, :needs, :preference)
    ON CONFLICT DO NOTHING;

-- name: get_class
SELECT class_id FROM class
 WHERE owner_id = :owner_id AND community = :community AND group_name = :group
   AND type = :type AND needs = :needs AND preference = :preference;

-- name: insert_submission
INSERT INTO submission
       (submission_id, community, owner_id, key, body_hash, name, template, job_name, at, complete)
SELECT :submission_id, :community, :owner_id, :key, :body_hash, :name, :template,
       CASE WHEN json_valid(CAST(:template AS TEXT))
            THEN nullif(json_extract(CAST(:template AS TEXT), '$.name'), '') END,
       :at, 0;

-- name: hold_submission_by_key
SELECT submission_id, community, owner_id, key, body_hash, name, template, at, complete, ranges
  FROM submission WHERE community = :community AND owner_id = :owner_id AND key = :key;

-- name: insert_jobs_alike
-- ?1 first job, ?2 how many, ?3 submission, ?4 class, ?5 priority, ?6 retries, ?7 queue_until
INSERT INTO job (job_id, submission_id, class_id, priority, retries, queue_until)
WITH RECURSIVE ids (job_id) AS (
    SELECT ?1
    UNION ALL
    SELECT job_id + 1 FROM ids WHERE job_id < ?1 + ?2 - 1
)
SELECT job_id, ?3, ?4, ?5, ?6, ?7 FROM ids;

-- name: insert_bodies
-- ?1 first job, ?2 JSON: the bodies as texts
INSERT INTO body (job_id, body) SELECT ?1 + key, CAST(value AS BLOB) FROM json_each(?2);

-- name: fill_zone
-- ?1 class, ?2 zone, ?3 jobs
INSERT INTO zone (class_id, state, zone, jobs) VALUES (?1, 'Waiting', ?2, ?3)
    ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs;
