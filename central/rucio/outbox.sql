-- columns: entry
entry_id, rucio, community, file_id, storage, datasets, job_id, confirm, state, since, tries,
due_at, why;

-- name: put_outgoing
-- A job that is done again publishes its files again, under a new id: what becomes of the old
-- entry, if it is being sent now, says nothing about the new copy.
INSERT INTO outbox (entry_id, rucio, community, file_id, storage, datasets, job_id, confirm, state,
                    since, why)
VALUES (:entry_id, :rucio, :community, :file_id, :storage, :datasets, :job_id, :confirm, :state,
        :since, :why)
    ON CONFLICT (file_id, storage, rucio, job_id) DO UPDATE
   SET entry_id = excluded.entry_id, datasets = excluded.datasets, confirm = excluded.confirm,
       state = excluded.state, since = excluded.since, tries = 0, due_at = 0, why = excluded.why;

-- name: outgoing_due
SELECT {entry} FROM outbox
 WHERE rucio = :rucio AND state = 'Waiting' AND due_at <= :now
 ORDER BY due_at, entry_id LIMIT :limit;

-- name: outgoing_of_community
SELECT {entry} FROM outbox
 WHERE community = :community AND state = :state AND entry_id > :after
 ORDER BY entry_id LIMIT :limit;

-- name: outgoing_of_job
-- The entries that its job waits for.
SELECT {entry} FROM outbox
 WHERE job_id = :job_id AND confirm = 1 AND state = 'Waiting'
 ORDER BY entry_id LIMIT :limit;

-- name: count_outgoing
SELECT rucio, state, count(*), min(since) FROM outbox GROUP BY rucio, state ORDER BY rucio, state;

-- name: confirm_outgoing
UPDATE outbox SET state = 'Confirmed', why = '' WHERE entry_id = :entry_id AND confirm = 1;

-- name: remove_outgoing
DELETE FROM outbox WHERE entry_id = :entry_id AND confirm = 0;

-- name: clash_outgoing
UPDATE outbox SET state = 'Clash', tries = tries + 1, why = :why
 WHERE entry_id = :entry_id AND state = 'Waiting';

-- name: put_off_outgoing
UPDATE outbox SET tries = tries + 1, due_at = :due_at, why = :why
 WHERE entry_id = :entry_id AND state = 'Waiting';

-- name: settled_jobs
-- Jobs that wait for the outbox alone, and for none of its entries any more; with a clash if any.
SELECT job_id, max(CASE WHEN state = 'Clash' THEN why ELSE '' END)
  FROM outbox WHERE confirm = 1
 GROUP BY job_id HAVING sum(CASE WHEN state = 'Waiting' THEN 1 ELSE 0 END) = 0
 ORDER BY job_id LIMIT :limit;

-- name: remove_confirmed
DELETE FROM outbox WHERE job_id = :job_id AND confirm = 1 AND state = 'Confirmed';

-- name: release_job
UPDATE outbox SET confirm = 0 WHERE job_id = :job_id AND confirm = 1;

-- name: remove_old_clashes
-- Clashes whose job was removed: nobody can act on them any more.
DELETE FROM outbox
 WHERE entry_id IN (SELECT o.entry_id FROM outbox AS o LEFT JOIN job AS j USING (job_id)
                     WHERE o.state = 'Clash' AND j.job_id IS NULL ORDER BY o.entry_id LIMIT 1000);

-- name: rules_asked
SELECT dataset, rule FROM outbox_rule
 WHERE rucio = :rucio AND dataset IN (SELECT value FROM json_each(:datasets)) ORDER BY dataset, rule;

-- name: insert_rule_asked
INSERT INTO outbox_rule (rucio, dataset, rule) VALUES (:rucio, :dataset, :rule)
    ON CONFLICT DO NOTHING;
