-- name: insert_pilot
INSERT INTO pilot (pilot, community, site, element, state, made_at)
VALUES (:pilot, :community, :site, :element, :state, :at);

-- name: insert_secret
INSERT INTO secret (secret_hash, pilot, expires_at, made_by, at)
VALUES (:secret_hash, :pilot, :expires_at, :made_by, :at);

-- name: get_secret
SELECT pilot, expires_at, nonce FROM secret WHERE secret_hash = :secret_hash;

-- name: use_secret
UPDATE secret SET nonce = :nonce
 WHERE secret_hash = :secret_hash AND nonce IS NULL AND expires_at > :at;

-- name: register_pilot
UPDATE pilot
   SET state = :new, session = 1, nonce = :nonce, renewal_hash = :renewal_hash, host = :host,
       node = :node, registered_at = :at, renewals = :renewals
 WHERE pilot = :pilot AND session = 0 AND state = :old;

-- name: open_session
-- The first of two calls for the same session wins. A call for an older session changes nothing.
UPDATE pilot SET session = CASE WHEN :session::bigint > 0 THEN :session::bigint ELSE session + 1 END,
       nonce = :nonce
 WHERE pilot = :pilot AND session > 0 AND nonce <> :nonce
   AND (:session::bigint = 0 OR :session::bigint > session);

-- name: rotate_secret
-- Changes nothing if the secret was used before. :kept is a number of characters.
UPDATE pilot
   SET renewals = renewals + 1, nonces_used = substr(:mark || nonces_used, 1, :kept)
 WHERE pilot = :pilot AND renewals = :number;

-- name: get_pilot
SELECT pilot, community, site, element, state, session, nonce, renewal_hash, host, node, made_at,
       registered_at, ended_at, reason, drain, told, renewals, nonces_used
  FROM pilot WHERE pilot = :pilot;

-- name: pilots
SELECT pilot, community, site, element, state, session, nonce, renewal_hash, host, node, made_at,
       registered_at, ended_at, reason, drain, told, renewals, nonces_used
  FROM pilot
 WHERE pilot > :after
   AND (:community::text IS NULL OR community = :community)
   AND (:site::text = '' OR site = :site)
   AND (:states::text IS NULL OR state IN (SELECT value FROM json_each(:states)))
 ORDER BY pilot
 LIMIT :limit;

-- name: move_pilot
-- A pilot that has begun to drain keeps draining.
UPDATE pilot
   SET state = :new, ended_at = :ended_at, reason = :reason,
       drain = greatest(drain, :drain::bigint)
 WHERE pilot = :pilot AND state = :old;

-- name: order_pilot
UPDATE pilot SET drain = 1, told = CASE WHEN :told::text <> '' THEN :told::text ELSE told END
 WHERE pilot = :pilot;
