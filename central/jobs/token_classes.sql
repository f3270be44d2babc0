-- name: keep_token_class
-- ?1 class
INSERT INTO token_class (class_id) VALUES (?1) ON CONFLICT DO NOTHING;

-- name: also_token_class
-- ?1 class, ?2 the class that it is made of: it has tokens if that one has.
INSERT INTO token_class (class_id)
SELECT ?1::bigint WHERE EXISTS (SELECT 1 FROM token_class WHERE class_id = ?2)
    ON CONFLICT DO NOTHING;

-- name: remove_token_classes
DELETE FROM token_class WHERE class_id IN (SELECT value::bigint FROM json_each(:classes));

-- name: has_jobs_with_tokens
-- Whether a person has jobs with tokens in these states. The zones count the jobs of each class, so
-- that no job is read.
SELECT EXISTS (
    SELECT 1
      FROM owner AS o
      JOIN class AS c ON c.owner_id = o.owner_id
      JOIN token_class AS t ON t.class_id = c.class_id
      JOIN zone AS z ON z.class_id = c.class_id
     WHERE o.community = :community AND o.issuer = :issuer AND o.subject = :subject
       AND z.state IN (SELECT value FROM json_each(:states)) AND z.jobs > 0);
