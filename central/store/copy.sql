-- All rows of each table, as `pilotage admin copy-store` reads them. They are ordered by key, so
-- that two stores can be compared. The order of columns may differ between the databases. A table
-- comes after the tables to which its rows refer.

-- name: all_of_remnant
SELECT * FROM remnant ORDER BY remnant_id;

-- name: all_of_remnant_count
SELECT * FROM remnant_count ORDER BY storage, community;

-- name: all_of_store
SELECT * FROM store ORDER BY one;

-- name: all_of_earlier
SELECT * FROM earlier ORDER BY generation;

-- name: all_of_counter
SELECT * FROM counter ORDER BY name;

-- name: all_of_notify_address
SELECT * FROM notify_address ORDER BY owner_id;

-- name: all_of_subscription
SELECT * FROM subscription ORDER BY kind, subject_id, owner_id;

-- name: all_of_notification
SELECT * FROM notification ORDER BY notification_id;

-- name: all_of_owner
SELECT * FROM owner ORDER BY owner_id;

-- name: all_of_class
SELECT * FROM class ORDER BY class_id;

-- name: all_of_site
SELECT * FROM site ORDER BY site_id;

-- name: all_of_storing
SELECT * FROM storing ORDER BY job_id;

-- name: all_of_submission
SELECT * FROM submission ORDER BY submission_id;

-- name: all_of_job
SELECT * FROM job ORDER BY job_id;

-- name: all_of_body
SELECT * FROM body ORDER BY job_id;

-- name: all_of_pilot
SELECT * FROM pilot ORDER BY pilot;

-- name: all_of_account
SELECT * FROM account ORDER BY day, community, group_name, owner_id, type, site;

-- name: all_of_action
SELECT * FROM action ORDER BY action_id;

-- name: all_of_action_ids
SELECT * FROM action_ids ORDER BY action_id;

-- name: all_of_attempt
SELECT * FROM attempt ORDER BY attempt_id;

-- name: all_of_ban
SELECT * FROM ban ORDER BY ban_id;

-- name: all_of_login_session
SELECT * FROM login_session ORDER BY session;

-- name: all_of_person
SELECT * FROM person ORDER BY issuer, subject;

-- name: all_of_data_community
SELECT * FROM data_community ORDER BY community_id;

-- name: all_of_data_scope
SELECT * FROM data_scope ORDER BY scope_id;

-- name: all_of_dataset
SELECT * FROM dataset ORDER BY dataset_id;

-- name: all_of_dataset_file
SELECT * FROM dataset_file ORDER BY dataset_id, file_id;

-- name: all_of_dependency
SELECT * FROM dependency ORDER BY job_id, place;

-- name: all_of_dependent
SELECT * FROM dependent ORDER BY job_id;

-- name: all_of_evidence
SELECT * FROM evidence ORDER BY evidence_id;

-- name: all_of_failover
SELECT * FROM failover ORDER BY transformation_id;

-- name: all_of_failover_decision
SELECT * FROM failover_decision ORDER BY task_id;

-- name: all_of_failover_end
SELECT * FROM failover_end ORDER BY transformation_id, task_id;

-- name: all_of_failover_report
SELECT * FROM failover_report ORDER BY report_id;

-- name: all_of_failure
SELECT * FROM failure ORDER BY hour, community, group_name, owner_id, transformation_id, site, class;

-- name: all_of_file
SELECT * FROM file ORDER BY file_id;

-- name: all_of_held_place
SELECT * FROM held_place ORDER BY number;

-- name: all_of_holding
SELECT * FROM holding ORDER BY sha256, owner_id, group_name;

-- name: all_of_holding_state
SELECT * FROM holding_state ORDER BY one;

-- name: all_of_input
SELECT * FROM input ORDER BY transformation_id, file_id, input_no;

-- name: all_of_input_count
SELECT * FROM input_count ORDER BY transformation_id, input_no, state;

-- name: all_of_job_input
SELECT * FROM job_input ORDER BY job_id, position;

-- name: all_of_levels
SELECT * FROM levels ORDER BY one;

-- name: all_of_log_job
SELECT * FROM log_job ORDER BY job_id, parcel_id;

-- name: all_of_log_parcel
SELECT * FROM log_parcel ORDER BY parcel_id;

-- name: all_of_log_source
SELECT * FROM log_source ORDER BY source_id;

-- name: all_of_meta_key
SELECT * FROM meta_key ORDER BY key_id;

-- name: all_of_meta_set
SELECT * FROM meta_set ORDER BY set_id;

-- name: all_of_meta_value
SELECT * FROM meta_value ORDER BY key_id, number, text;

-- name: all_of_note
SELECT * FROM note ORDER BY note_id;

-- name: all_of_cwl_job
SELECT * FROM cwl_job ORDER BY production_id, key;

-- name: all_of_cwl_run
SELECT * FROM cwl_run ORDER BY production_id;

-- name: all_of_outbox
SELECT * FROM outbox ORDER BY entry_id;

-- name: all_of_outbox_rule
SELECT * FROM outbox_rule ORDER BY rucio, dataset, rule;

-- name: all_of_own_value
SELECT * FROM own_value ORDER BY set_id, key_id, number, text, file_id;

-- name: all_of_place_mark
SELECT * FROM place_mark ORDER BY place;

-- name: all_of_production
SELECT * FROM production ORDER BY production_id;

-- name: all_of_production_sample
SELECT * FROM production_sample ORDER BY production_id, at;

-- name: all_of_production_step
SELECT * FROM production_step ORDER BY production_id, place;

-- name: all_of_replica
SELECT * FROM replica ORDER BY file_id, storage;

-- name: all_of_rule
SELECT * FROM rule ORDER BY rule_id;

-- name: all_of_secret
SELECT * FROM secret ORDER BY secret_hash;

-- name: all_of_quota
SELECT * FROM quota ORDER BY kind, community, name;

-- name: all_of_quota_use
SELECT * FROM quota_use ORDER BY kind, community, name;

-- name: all_of_series
SELECT * FROM series ORDER BY step_s, at, key_id;

-- name: all_of_series_key
SELECT * FROM series_key ORDER BY key_id;

-- name: all_of_series_slot
SELECT * FROM series_slot ORDER BY step_s, at;

-- name: all_of_slot
SELECT * FROM slot ORDER BY pilot;

-- name: all_of_sweep
SELECT * FROM sweep ORDER BY sweep_id;

-- name: all_of_task
SELECT * FROM task ORDER BY task_id;

-- name: all_of_task_count
SELECT * FROM task_count ORDER BY transformation_id, state;

-- name: all_of_task_end
SELECT * FROM task_end ORDER BY task_id;

-- name: all_of_task_input
SELECT * FROM task_input ORDER BY task_id, file_id;

-- name: all_of_token
SELECT * FROM token ORDER BY jti;

-- name: all_of_token_class
SELECT * FROM token_class ORDER BY class_id;

-- name: all_of_transfer
SELECT * FROM transfer ORDER BY transfer_id;

-- name: all_of_transformation
SELECT * FROM transformation ORDER BY transformation_id;

-- name: all_of_transformation_look
SELECT * FROM transformation_look ORDER BY community;

-- name: all_of_zone
SELECT * FROM zone ORDER BY class_id, state, zone;
