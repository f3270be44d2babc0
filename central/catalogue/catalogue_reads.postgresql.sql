-- name: files_by_name
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM json_array_elements(:names::json) AS i(value)
  JOIN data_scope AS s ON s.community_id = :community_id AND s.scope = i.value ->> 0
  JOIN file AS f ON f.scope_id = s.scope_id AND f.name = i.value ->> 1;

-- name: files_of_jobs
SELECT f.file_id, s.scope, f.name, f.bytes, f.adler32, f.sha256, f.state, f.set_id, f.own,
       f.owner_id, f.job_id, f.epoch, f.created_at, f.seq
  FROM json_array_elements_text(:ids::json) AS i(value)
  JOIN file AS f ON f.job_id = i.value::bigint
  JOIN data_scope AS s ON s.scope_id = f.scope_id
 ORDER BY f.job_id, f.file_id
 LIMIT :limit;
