-- name: insert_rule
INSERT INTO rule (rule_id, community, owner_id, group_name, did, query, copies, storages, made_at)
VALUES (:rule_id, :community, :owner_id, :group, :did, :query, :copies, :storages, :made_at);

-- name: count_rules
SELECT count(*) FROM rule WHERE community = :community;

-- name: rules
SELECT r.rule_id, r.community, r.owner_id, o.issuer, o.subject, o.name, r.group_name, r.did,
       r.query, r.copies, r.storages, r.made_at, r.state, r.tally, r.why
  FROM rule AS r JOIN owner AS o USING (owner_id)
 WHERE (:community::text IS NULL OR r.community = :community)
   AND (:rule_id::bigint IS NULL OR r.rule_id = :rule_id)
 ORDER BY r.rule_id;

-- name: remove_rule
DELETE FROM rule WHERE rule_id = :rule_id AND community = :community;

-- name: remove_transfers_of_rule
DELETE FROM transfer WHERE rule_id = :rule_id;

-- name: remove_failed_transfers_of_rule
DELETE FROM transfer WHERE rule_id = :rule_id AND is_open = 0;

-- name: tell_rule
UPDATE rule SET state = :state, tally = :tally, why = :why WHERE rule_id = :rule_id;

-- name: transfers
SELECT transfer_id, rule_id, file_id, storage, is_open, job_id, failures, not_before, why
  FROM transfer ORDER BY transfer_id;

-- name: open_transfers
SELECT transfer_id, rule_id, file_id, storage, is_open, job_id, failures, not_before, why
  FROM transfer WHERE is_open = 1 ORDER BY transfer_id;

-- name: transfer_of
SELECT transfer_id, rule_id, file_id, storage, is_open, job_id, failures, not_before, why
  FROM transfer WHERE file_id = :file_id AND storage = :storage;

-- name: insert_transfer
INSERT INTO transfer (transfer_id, rule_id, file_id, storage, is_open)
VALUES (:transfer_id, :rule_id, :file_id, :storage, 1);

-- name: open_transfer_again
UPDATE transfer SET is_open = 1, job_id = NULL, rule_id = :rule_id
 WHERE transfer_id = :transfer_id AND is_open = 0;

-- name: set_transfer_job
UPDATE transfer SET job_id = :job_id WHERE transfer_id = :transfer_id AND is_open = 1;

-- name: fail_transfer
UPDATE transfer SET is_open = 0, failures = failures + 1, not_before = :not_before, why = :why
 WHERE transfer_id = :transfer_id AND is_open = 1;

-- name: remove_transfer
DELETE FROM transfer WHERE transfer_id = :transfer_id;
