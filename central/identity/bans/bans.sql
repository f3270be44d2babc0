-- columns: ban
ban_id, issuer, subject, who, reason, at, lifted_by, lifted_at, released_at;

-- name: put_ban
-- A lifted ban of this person is in force again, with its old number. A ban in force stays.
INSERT INTO ban (issuer, subject, who, reason, at)
VALUES (:issuer, :subject, :who, :reason, :at)
    ON CONFLICT (issuer, subject) DO UPDATE
   SET who = excluded.who, reason = excluded.reason, at = excluded.at, lifted_by = '',
       lifted_at = NULL, released_at = NULL
 WHERE ban.lifted_at IS NOT NULL;

-- name: lift_ban
UPDATE ban SET lifted_by = :who, lifted_at = :at WHERE ban_id = :ban_id AND lifted_at IS NULL;

-- name: end_ban
-- Compare-and-set on the time of the lift: the person may be banned again.
UPDATE ban SET released_at = :at
 WHERE ban_id = :ban_id AND lifted_at = :lifted_at AND released_at IS NULL;

-- name: ban
SELECT {ban} FROM ban WHERE ban_id = :ban_id;

-- name: ban_of_person
SELECT {ban} FROM ban WHERE issuer = :issuer AND subject = :subject;

-- name: bans
-- Return a page, sorted by number. With `lifted` it includes lifted bans.
SELECT {ban} FROM ban
 WHERE ban_id > :after AND (:lifted::bigint = 1 OR lifted_at IS NULL)
 ORDER BY ban_id LIMIT :limit;

-- name: open_bans
-- No limit: all must be refused. Operators make them one by one.
SELECT {ban} FROM ban WHERE released_at IS NULL ORDER BY ban_id;

-- name: open_bans_mark
SELECT count(*), count(lifted_at), coalesce(sum(at), 0.0) FROM ban WHERE released_at IS NULL;

-- name: bans_in_force
SELECT count(*) FROM ban WHERE lifted_at IS NULL;

-- name: forget_bans
DELETE FROM ban
 WHERE ban_id IN (SELECT ban_id FROM ban
                   WHERE released_at < :before ORDER BY released_at LIMIT :limit);

-- name: is_person_known
SELECT EXISTS (SELECT 1 FROM owner WHERE issuer = :issuer AND subject = :subject)
    OR EXISTS (SELECT 1 FROM token WHERE issuer = :issuer AND subject = :subject)
    OR EXISTS (SELECT 1 FROM person WHERE issuer = :issuer AND subject = :subject);

-- name: issuers_of_subject
SELECT issuer FROM owner WHERE subject = :subject
UNION SELECT issuer FROM person WHERE subject = :subject ORDER BY issuer LIMIT :limit;

-- name: roles_of_person
SELECT role FROM token
 WHERE issuer = :issuer AND subject = :subject AND expires_at > :now AND revoked_at IS NULL
UNION
SELECT role FROM login_session
 WHERE issuer = :issuer AND subject = :subject AND ends_at > :now AND ended_at IS NULL;

-- name: tokens_issued_by
-- Tokens record the shown name of the person who issued them.
SELECT jti, subject, expires_at FROM token
 WHERE expires_at > :now AND revoked_at IS NULL AND issued_by = :name
   AND NOT (issuer = :issuer AND subject = :subject)
 ORDER BY expires_at DESC, jti LIMIT :limit;
