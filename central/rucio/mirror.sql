-- name: files_of_owner_after
-- A page of the files that an owner registered and that are not removed.
SELECT f.file_id, s.scope, f.name
  FROM data_community AS c
  JOIN file AS f ON f.community_id = c.community_id
  JOIN data_scope AS s ON s.scope_id = f.scope_id
 WHERE c.community = :community AND f.file_id > :after AND f.owner_id = :owner_id
   AND f.state <> 'Removed'
 ORDER BY f.file_id LIMIT :limit;
