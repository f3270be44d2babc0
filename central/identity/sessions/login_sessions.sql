-- columns: login_session
session, kind, provider, issuer, subject, name, email, community, groups, role, host,
address, created_at, ends_at, used_at, checked_at, renewals, nonce, renewed_at, refresh,
cookie, ended_at, ended_why;

-- name: insert_login_session
INSERT INTO login_session (session, kind, provider, issuer, subject, name, email, community, groups,
                           role, host, address, created_at, ends_at, used_at, checked_at, renewals,
                           nonce, renewed_at, refresh, cookie, ended_at, ended_why)
VALUES (:session, :kind, :provider, :issuer, :subject, :name, :email, :community, :groups,
        :role, :host, :address, :created_at, :ends_at, :used_at, :checked_at, :renewals,
        :nonce, :renewed_at, :refresh, :cookie, :ended_at, :ended_why);

-- name: keep_person
INSERT INTO person (issuer, subject, name, email, seen_at)
VALUES (:issuer, :subject, :name, :email, :checked_at)
ON CONFLICT (issuer, subject) DO UPDATE
   SET name = excluded.name, email = excluded.email, seen_at = excluded.seen_at;

-- name: login_session
SELECT {login_session}
  FROM login_session WHERE session = :session;

-- name: login_session_of_cookie
-- The index of cookies has no empty ones, so it serves only a statement that excludes them.
SELECT {login_session}
  FROM login_session WHERE cookie = :cookie AND cookie <> '';

-- name: login_sessions
-- Return a page, newest first, that begins after the given position.
SELECT {login_session}
  FROM login_session
 WHERE (created_at, session) < (:created_at, :before)
   AND (:community::text IS NULL OR community = :community::text
        OR issuer = :issuer::text AND subject = :subject::text)
   AND (:others::bigint = 1 OR issuer = :issuer::text AND subject = :subject::text)
 ORDER BY created_at DESC, session DESC LIMIT :limit;

-- name: providers_of_browsers
SELECT DISTINCT provider FROM login_session
 WHERE kind = 'browser' AND ended_at IS NULL AND ends_at > :now AND used_at > :used_after
   AND checked_at <= :checked_before AND refresh <> ''
 ORDER BY provider LIMIT :limit;

-- name: browser_sessions_in_use
SELECT {login_session} FROM login_session
 WHERE provider = :provider AND kind = 'browser' AND ended_at IS NULL AND ends_at > :now
   AND used_at > :used_after AND checked_at <= :checked_before AND refresh <> ''
 ORDER BY checked_at LIMIT :limit;

-- name: open_login_sessions
SELECT count(*) FROM login_session
 WHERE issuer = :issuer AND subject = :subject AND ended_at IS NULL AND ends_at > :now;

-- name: login_grant_of_person
SELECT 1 FROM login_session
 WHERE issuer = :issuer AND subject = :subject AND refresh <> '' LIMIT 1;

-- name: renew_login_session
UPDATE login_session
   SET renewals = :renewals, nonce = :nonce, renewed_at = :renewed_at, used_at = :used_at
 WHERE session = :session AND renewals = :renewals - 1 AND ended_at IS NULL;

-- name: check_login_session
UPDATE login_session
   SET name = :name, email = :email, groups = :groups, role = :role, refresh = :refresh,
       checked_at = :checked_at
 WHERE session = :session AND ended_at IS NULL;

-- name: use_login_session
UPDATE login_session SET used_at = :used_at WHERE session = :session AND ended_at IS NULL;

-- name: end_login_session
UPDATE login_session SET ended_at = :at, ended_why = :why, refresh = ''
 WHERE session = :session AND ended_at IS NULL;

-- name: open_login_sessions_of_person
-- No limit: all must end. A person can have 200 open ones.
SELECT session FROM login_session
 WHERE issuer = :issuer AND subject = :subject AND ended_at IS NULL ORDER BY session;

-- name: end_login_sessions_of_person
-- Also forget refresh tokens that ended sessions keep for jobs.
UPDATE login_session
   SET ended_at = coalesce(ended_at, :at), refresh = '',
       ended_why = CASE WHEN ended_at IS NULL THEN :why ELSE ended_why END
 WHERE issuer = :issuer AND subject = :subject AND (ended_at IS NULL OR refresh <> '');

-- name: end_login_session_only
-- Keep the refresh token: jobs still get tokens by it.
UPDATE login_session SET ended_at = :at, ended_why = :why
 WHERE session = :session AND ended_at IS NULL;

-- name: keep_login_grant
UPDATE login_session SET refresh = :refresh WHERE session = :session AND refresh <> '';

-- name: drop_login_grant
UPDATE login_session SET refresh = ''
 WHERE session = :session AND (ended_at IS NOT NULL OR ends_at <= :now) AND refresh <> '';

-- name: login_grants
-- Return sessions with a refresh token, also those that jobs alone still use, newest first.
SELECT {login_session}
  FROM login_session
 WHERE issuer = :issuer AND subject = :subject AND community = :community AND refresh <> ''
   AND ends_at > :over_after
 ORDER BY created_at DESC, session DESC LIMIT :limit;

-- name: kept_login_grants
-- Return a page of the sessions with a refresh token that jobs alone may still use.
SELECT {login_session}
  FROM login_session
 WHERE refresh <> '' AND (ended_at IS NOT NULL OR ends_at <= :now) AND session > :after
 ORDER BY session LIMIT :limit;

-- name: ended_login_sessions
-- No limit: all must be refused. These are the ends of the last hour.
SELECT session, ended_at FROM login_session
 WHERE ended_at IS NOT NULL AND ended_at > :after ORDER BY ended_at, session;

-- name: ended_login_sessions_mark
SELECT count(*), coalesce(sum(ended_at), 0.0) FROM login_session
 WHERE ended_at IS NOT NULL AND ended_at > :after;

-- name: old_login_sessions
-- Those with a refresh token stay: it is first given back to its provider.
SELECT session FROM login_session
 WHERE ends_at < :before AND refresh = '' ORDER BY ends_at LIMIT :limit;

-- name: remove_login_sessions
DELETE FROM login_session WHERE session IN (SELECT value FROM json_each(:sessions));
