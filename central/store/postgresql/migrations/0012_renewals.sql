-- The number of a pilot's renewal secret, which rotates at each use. 0: the pilot registered with
-- protocol 1.0, and its one secret is the one that renewal_hash tells.
ALTER TABLE pilot ADD COLUMN renewals BIGINT NOT NULL DEFAULT 0;
-- Marks of the nonces of the last uses, 16 characters each, the newest first.
ALTER TABLE pilot ADD COLUMN nonces_used TEXT NOT NULL DEFAULT '';
