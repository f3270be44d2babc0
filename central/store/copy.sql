-- All rows of each table, as `pilotage admin copy-store` reads them: in the order of the key, so
-- that two stores can be compared. Owners come before what names them.

-- name: all_of_remnant
SELECT remnant_id, storage, path, community, owner_id, group_name, file_id, bytes, since,
       due_from, state, sweep_id, failures, why, gone_at
  FROM remnant ORDER BY remnant_id;

-- name: all_of_remnant_count
SELECT storage, community, waiting, waiting_bytes, failing, gone, gone_bytes
  FROM remnant_count ORDER BY storage, community;

-- name: all_of_store
SELECT one, generation, made_at
  FROM store ORDER BY one;

-- name: all_of_earlier
SELECT generation, jobs_below
  FROM earlier ORDER BY generation;

-- name: all_of_counter
SELECT name, next
  FROM counter ORDER BY name;

-- name: all_of_owner
SELECT owner_id, community, issuer, subject, name
  FROM owner ORDER BY owner_id;

-- name: all_of_class
SELECT class_id, community, group_name, owner_id, type, needs, preference
  FROM class ORDER BY class_id;

-- name: all_of_site
SELECT site_id, site
  FROM site ORDER BY site_id;

-- name: all_of_storing
SELECT job_id, storages, epoch, pending
  FROM storing ORDER BY job_id;

-- name: all_of_submission
SELECT submission_id, community, owner_id, key, body_hash, name, job_name, at, complete,
       ranges, template
  FROM submission ORDER BY submission_id;

-- name: all_of_job
SELECT job_id, class_id, submission_id, state, deleted, site_id, priority, retries, round,
       epoch, failures, losses, last_attempt, queue_until, ended_at, reason, task_id
  FROM job ORDER BY job_id;

-- name: all_of_body
SELECT job_id, name, body
  FROM body ORDER BY job_id;

-- name: all_of_pilot
SELECT pilot, community, site, element, state, session, nonce, renewal_hash, host, node,
       made_at, registered_at, ended_at, reason, drain, told, renewals,
       nonces_used
  FROM pilot ORDER BY pilot;

-- name: all_of_account
SELECT day, community, group_name, owner_id, type, site, done, failed, cpu_s, wall_s,
       core_s, hs23_s, bytes_in, bytes_out
  FROM account ORDER BY day, community, group_name, owner_id, type, site;

-- name: all_of_action
SELECT action_id, community, issuer, subject, key, body_hash, at, progress, complete
  FROM action ORDER BY action_id;

-- name: all_of_action_ids
SELECT action_id, ids
  FROM action_ids ORDER BY action_id;

-- name: all_of_attempt
SELECT attempt_id, job_id, epoch, round, previous, pilot, session, ask, site_id, element,
       host, cores, memory_mb, scratch_mb, wall_s, state, live, open, wanted, matched_at,
       started_at, ended_at, how, exit_code, event, reason, detail, isolation, usage,
       outputs, progress, gpus, charged_cores, lease_s, amounts
  FROM attempt ORDER BY attempt_id;

-- name: all_of_data_community
SELECT community_id, community
  FROM data_community ORDER BY community_id;

-- name: all_of_data_scope
SELECT scope_id, community_id, scope
  FROM data_scope ORDER BY scope_id;

-- name: all_of_dataset
SELECT dataset_id, community_id, scope_id, name, is_open, owner_id, metadata, created_at
  FROM dataset ORDER BY dataset_id;

-- name: all_of_dataset_file
SELECT dataset_id, file_id
  FROM dataset_file ORDER BY dataset_id, file_id;

-- name: all_of_evidence
SELECT evidence_id, job_id, epoch, at, pilot, why, report
  FROM evidence ORDER BY evidence_id;

-- name: all_of_failover
SELECT transformation_id, cycle, flushes, inputs, judged_from, first, last, said
  FROM failover ORDER BY transformation_id;

-- name: all_of_failover_decision
SELECT task_id, said
  FROM failover_decision ORDER BY task_id;

-- name: all_of_failover_end
SELECT transformation_id, task_id
  FROM failover_end ORDER BY transformation_id, task_id;

-- name: all_of_failover_report
SELECT report_id, transformation_id, cycle, cause, at, title, saved, for_people, body,
       mail_due, mailed_at, mail_tries, mail_why
  FROM failover_report ORDER BY report_id;

-- name: all_of_failure
SELECT hour, community, group_name, owner_id, transformation_id, site, class, attempts,
       jobs, examples, words
  FROM failure ORDER BY hour, community, group_name, owner_id, transformation_id, site, class;

-- name: all_of_file
SELECT file_id, community_id, scope_id, set_id, owner_id, job_id, epoch, seq, bytes,
       adler32, sha256, state, created_at, name, own
  FROM file ORDER BY file_id;

-- name: all_of_held_place
SELECT number, facts
  FROM held_place ORDER BY number;

-- name: all_of_holding
SELECT sha256, owner_id, group_name, bytes, at
  FROM holding ORDER BY sha256, owner_id, group_name;

-- name: all_of_holding_state
SELECT one, counted, open_until
  FROM holding_state ORDER BY one;

-- name: all_of_input
SELECT transformation_id, file_id, input_no, state, task_id, errors, replays, inherited,
       changed_at
  FROM input ORDER BY transformation_id, file_id, input_no;

-- name: all_of_input_count
SELECT transformation_id, input_no, state, files
  FROM input_count ORDER BY transformation_id, input_no, state;

-- name: all_of_job_input
SELECT job_id, position, file_id
  FROM job_input ORDER BY job_id, position;

-- name: all_of_levels
SELECT one, at, levels
  FROM levels ORDER BY one;

-- name: all_of_log_job
SELECT job_id, parcel_id
  FROM log_job ORDER BY job_id, parcel_id;

-- name: all_of_log_parcel
SELECT parcel_id, source_id, community, kept_at, bytes, jobs, lines
  FROM log_parcel ORDER BY parcel_id;

-- name: all_of_log_source
SELECT source_id, pilot, community, site, element, host, batch_id, last_n, bytes
  FROM log_source ORDER BY source_id;

-- name: all_of_meta_key
SELECT key_id, community_id, key, type, is_own
  FROM meta_key ORDER BY key_id;

-- name: all_of_meta_set
SELECT set_id, community_id, hash, metadata
  FROM meta_set ORDER BY set_id;

-- name: all_of_meta_value
SELECT key_id, number, text
  FROM meta_value ORDER BY key_id, number, text;

-- name: all_of_note
SELECT note_id, job_id, at, who, event, detail
  FROM note ORDER BY note_id;

-- name: all_of_own_value
SELECT set_id, key_id, number, text, file_id
  FROM own_value ORDER BY set_id, key_id, number, text, file_id;

-- name: all_of_place_mark
SELECT place, mark, who, reason, at
  FROM place_mark ORDER BY place;

-- name: all_of_production
SELECT production_id, community, group_name, owner_id, name, title, state, reason, sha256,
       priority, rerun_of, made_at, changed_at, rules, details, definition
  FROM production ORDER BY production_id;

-- name: all_of_production_sample
SELECT production_id, at, progress, tasks_done
  FROM production_sample ORDER BY production_id, at;

-- name: all_of_production_step
SELECT production_id, place, step, parents, transformation_id
  FROM production_step ORDER BY production_id, place;

-- name: all_of_replica
SELECT file_id, storage, path, state, changed_at
  FROM replica ORDER BY file_id, storage;

-- name: all_of_rule
SELECT rule_id, community, owner_id, group_name, did, query, copies, storages, made_at,
       state, tally, why
  FROM rule ORDER BY rule_id;

-- name: all_of_secret
SELECT secret_hash, pilot, expires_at, made_by, at, nonce
  FROM secret ORDER BY secret_hash;

-- name: all_of_quota
SELECT kind, community, name, jobs, bytes
  FROM quota ORDER BY kind, community, name;

-- name: all_of_quota_use
SELECT kind, community, name, jobs, bytes
  FROM quota_use ORDER BY kind, community, name;

-- name: all_of_series
SELECT step_s, at, key_id, waiting, running, done, failed, cpu_s, wall_s, core_s, hs23_s,
       bytes_in, bytes_out
  FROM series ORDER BY step_s, at, key_id;

-- name: all_of_series_key
SELECT key_id, community, site, type
  FROM series_key ORDER BY key_id;

-- name: all_of_series_slot
SELECT step_s, at, samples
  FROM series_slot ORDER BY step_s, at;

-- name: all_of_slot
SELECT pilot, shape, slot, kept, exit_code, stdout, stderr
  FROM slot ORDER BY pilot;

-- name: all_of_sweep
SELECT sweep_id, storage, community, owner_id, group_name, made_at, job_id
  FROM sweep ORDER BY sweep_id;

-- name: all_of_task
SELECT task_id, transformation_id, number, job_id, state, made_at, ended_at, reason, is_split
  FROM task ORDER BY task_id;

-- name: all_of_task_count
SELECT transformation_id, state, tasks
  FROM task_count ORDER BY transformation_id, state;

-- name: all_of_task_end
SELECT task_id, job_id, state
  FROM task_end ORDER BY task_id;

-- name: all_of_task_input
SELECT task_id, file_id
  FROM task_input ORDER BY task_id, file_id;

-- name: all_of_token
SELECT jti, issuer, subject, name, community, groups, role, issued_at, expires_at,
       issued_by, revoked_at
  FROM token ORDER BY jti;

-- name: all_of_transfer
SELECT transfer_id, rule_id, file_id, storage, is_open, job_id, failures, not_before, why
  FROM transfer ORDER BY transfer_id;

-- name: all_of_transformation
SELECT transformation_id, community, group_name, owner_id, name, state, reason, parent_id,
       tasks_wanted, tasks_made, scouts_until, scouted, closing, flushing, seeded,
       seed_place, made_at, changed_at, judged_from, doc, priority
  FROM transformation ORDER BY transformation_id;

-- name: all_of_transformation_look
SELECT community, seq
  FROM transformation_look ORDER BY community;

-- name: all_of_zone
SELECT class_id, state, zone, jobs
  FROM zone ORDER BY class_id, state, zone;
