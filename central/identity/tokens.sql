-- name: insert_token
INSERT INTO token (jti, issuer, subject, name, community, groups, role, issued_at, expires_at,
                   issued_by, revoked_at)
VALUES (:jti, :issuer, :subject, :name, :community, :groups, :role, :issued_at, :expires_at,
        :issued_by, :revoked_at);

-- name: revoke_token
UPDATE token SET revoked_at = :at WHERE jti = :jti AND revoked_at IS NULL;

-- name: token
SELECT jti, issuer, subject, name, community, groups, role, issued_at, expires_at, issued_by,
       revoked_at
  FROM token WHERE jti = :jti;

-- name: tokens
-- Return a page, newest first, that begins after the given position.
SELECT jti, issuer, subject, name, community, groups, role, issued_at, expires_at, issued_by,
       revoked_at
  FROM token
 WHERE (issued_at, jti) < (:issued_at, :jti)
   AND (:community::text IS NULL OR community = :community::text)
   AND (:subject::text IS NULL OR issuer = :issuer::text AND subject = :subject::text)
 ORDER BY issued_at DESC, jti DESC LIMIT :limit;

-- name: unexpired_tokens
SELECT count(*)
  FROM (SELECT 1 FROM token
         WHERE issuer = :issuer AND subject = :subject AND expires_at > :now LIMIT :limit) AS found;

-- name: token_groups
SELECT community, '' FROM token
UNION
SELECT t.community, g.value FROM token AS t CROSS JOIN json_each(t.groups) AS g
 LIMIT :limit;

-- name: revoked_mark
SELECT count(*), coalesce(sum(revoked_at), 0.0) FROM token
 WHERE revoked_at IS NOT NULL AND expires_at > :now;

-- name: revoked
-- No limit: all must be refused. Each person can have 10 000 tokens.
SELECT jti, expires_at FROM token
 WHERE revoked_at IS NOT NULL AND expires_at > :now ORDER BY expires_at, jti;
