-- name: add_progress
-- Keep the newest hundred entries.
UPDATE attempt
   SET progress = json_insert(
           CASE WHEN json_array_length(progress) >= 100 THEN json_remove(progress, '$[0]')
                ELSE coalesce(progress, '[]') END,
           '$[#]', json(:entry))
 WHERE attempt_id = :attempt_id AND job_id = :job_id AND live = 1;

-- name: requeue_attempt
-- ?1 attempt, ?2 job, ?3 epoch, ?4 wanted as we knew it, ?5 stays open, ?6 at, ?7 how, ?8 event,
-- ?9 reason, ?10 detail, ?11 isolation, ?12 usage, ?13 outputs
UPDATE attempt
   SET live = 0, state = NULL, open = ?5, ended_at = ?6, how = ?7, event = ?8, reason = ?9,
       detail = ?10, isolation = CASE WHEN ?11 = '' THEN isolation ELSE ?11 END, usage = ?12,
       outputs = ?13
 WHERE attempt_id = ?1 AND job_id = ?2 AND epoch = ?3 AND live = 1 AND wanted IS ?4;
