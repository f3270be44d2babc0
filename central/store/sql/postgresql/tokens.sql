-- name: insert_token
INSERT INTO token (jti, issuer, subject, name, community, groups, role, issued_at, expires_at,
                   issued_by, revoked_at)
VALUES (:jti, :issuer, :subject, :name, :community, :groups, :role, :issued_at, :expires_at,
        :issued_by, :revoked_at);

-- name: revoke_token
UPDATE token SET revoked_at = :at WHERE jti = :jti AND revoked_at IS NULL;

-- name: tokens
SELECT jti, issuer, subject, name, community, groups, role, issued_at, expires_at, issued_by,
       revoked_at
  FROM token
 WHERE :community::text IS NULL OR community = :community::text
 ORDER BY issued_at, jti;

-- name: revoked_mark
SELECT count(*), coalesce(sum(revoked_at), 0.0) FROM token
 WHERE revoked_at IS NOT NULL AND expires_at > :now;

-- name: revoked
SELECT jti, expires_at FROM token
 WHERE revoked_at IS NOT NULL AND expires_at > :now ORDER BY expires_at, jti;
