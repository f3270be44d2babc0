-- name: insert_owner
INSERT INTO owner AS o (owner_id, community, issuer, subject, name)
SELECT coalesce(max(owner_id), 0) + 1, :community::text, :issuer::text, :subject::text, :name::text
  FROM owner
    ON CONFLICT (community, issuer, subject)
    DO UPDATE SET name = excluded.name WHERE o.name <> excluded.name AND excluded.name <> '';

-- name: insert_class
-- If another process has used the same number for another class, the statement fails, and the
-- caller retries it.
INSERT INTO class (class_id, community, group_name, owner_id, type, needs, preference)
SELECT coalesce(max(class_id), 0) + 1, :community::text, :group::text, :owner_id::bigint,
       :type::text, :needs::bytea, :preference::bytea
  FROM class
    ON CONFLICT (owner_id, community, group_name, type, sha256(needs), sha256(preference))
    DO NOTHING;

-- name: get_class
-- Compare hashes, because needs and preference can be too long for an index.
SELECT class_id FROM class
 WHERE owner_id = :owner_id AND community = :community AND group_name = :group
   AND type = :type AND sha256(needs) = sha256(:needs::bytea)
   AND sha256(preference) = sha256(:preference::bytea);

-- name: insert_submission
INSERT INTO submission
       (submission_id, community, owner_id, key, body_hash, name, template, job_name, at, complete)
VALUES (:submission_id, :community, :owner_id, :key, :body_hash, :name, :template,
        job_name_of(:template), :at, 0);

-- name: hold_submission_by_key
SELECT submission_id, community, owner_id, key, body_hash, name, template, at, complete, ranges
  FROM submission WHERE community = :community AND owner_id = :owner_id AND key = :key FOR KEY SHARE;

-- name: insert_jobs_alike
-- $1 first job, $2 how many, $3 submission, $4 class, $5 priority, $6 retries, $7 queue_until
INSERT INTO job (job_id, submission_id, class_id, priority, retries, queue_until)
SELECT job_id, $3::bigint, $4::bigint, $5::bigint, $6::bigint, $7::float8
  FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) AS ids (job_id);

-- name: insert_bodies
-- $1 first job, $2 JSON: the bodies as texts
INSERT INTO body (job_id, body)
SELECT $1::bigint + n - 1, convert_to(value, 'utf8')
  FROM json_array_elements_text($2::json) WITH ORDINALITY AS t (value, n);

-- name: fill_zone
-- $1 class, $2 zone, $3 jobs
INSERT INTO zone AS z (class_id, state, zone, jobs) VALUES ($1, 'Waiting', $2, $3)
    ON CONFLICT (class_id, state, zone) DO UPDATE SET jobs = z.jobs + excluded.jobs;
