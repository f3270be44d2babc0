-- name: begin_failover
INSERT INTO failover (transformation_id) VALUES (:transformation_id) ON CONFLICT DO NOTHING;

-- name: note_earlier_ends
INSERT INTO failover_end (transformation_id, task_id)
SELECT transformation_id, task_id FROM task
 WHERE transformation_id = :transformation_id AND state <> 'Created'
 ORDER BY number DESC
 LIMIT :limit
    ON CONFLICT DO NOTHING;

-- name: failover_rows
SELECT f.transformation_id, f.cycle, f.flushes, f.inputs, f.judged_from, f.first, f.last, f.said
  FROM json_each(:ids) AS w
 CROSS JOIN failover AS f ON f.transformation_id = w.value::bigint;

-- name: failover_ends
SELECT t.transformation_id, t.task_id, t.number, t.job_id, t.state, t.ended_at,
       coalesce(d.said, '')
  FROM failover_end AS e
 CROSS JOIN task AS t ON t.task_id = e.task_id
  LEFT JOIN failover_decision AS d ON d.task_id = e.task_id
 WHERE e.transformation_id = :transformation_id
 ORDER BY e.task_id
 LIMIT :limit;

-- name: unseen_failover
SELECT DISTINCT transformation_id FROM failover_end ORDER BY transformation_id;

-- name: note_decision
INSERT INTO failover_decision (task_id, said) VALUES (:task_id, :said)
    ON CONFLICT (task_id) DO UPDATE SET said = excluded.said;

-- name: failover_cycle
SELECT cycle FROM failover WHERE transformation_id = :transformation_id;

-- name: keep_failover
UPDATE failover
   SET cycle = :cycle, flushes = :flushes, inputs = :inputs, judged_from = :judged_from,
       first = :first, last = :last, said = :said
 WHERE transformation_id = :transformation_id;

-- name: drop_failover_ends
DELETE FROM failover_end
 WHERE transformation_id = :transformation_id
   AND task_id IN (SELECT value::bigint FROM json_each(:tasks));

-- name: drop_failover_decisions
DELETE FROM failover_decision WHERE task_id IN (SELECT value::bigint FROM json_each(:tasks));

-- name: insert_report
INSERT INTO failover_report (report_id, transformation_id, cycle, cause, at, title, saved,
                             for_people, body, mail_due)
VALUES (:report_id, :transformation_id, :cycle, :cause, :at, :title, :saved,
        :for_people, :body, :mail_due);

-- name: note_missed_ends
INSERT INTO task_end (task_id, job_id, state)
SELECT t.task_id, t.job_id, j.state
  FROM task AS t CROSS JOIN job AS j ON j.job_id = t.job_id
 WHERE t.state = 'Created' AND j.state IN ('Done', 'Failed', 'Killed')
    ON CONFLICT DO NOTHING;

-- name: odd_inputs
SELECT i.task_id, t.number, t.job_id, t.state,
       (SELECT count(*) FROM file AS o WHERE o.job_id = t.job_id),
       (SELECT count(*) FROM file AS o
         WHERE o.job_id = t.job_id AND o.state IN ('Lost', 'Removed')),
       i.file_id, i.input_no, i.state, true, false, i.errors, i.replays,
       coalesce(f.state, 'Removed') NOT IN ('Lost', 'Removed')
  FROM input AS i
  LEFT JOIN task AS t ON t.task_id = i.task_id
  LEFT JOIN file AS f ON f.file_id = i.file_id
 WHERE i.transformation_id = :transformation_id AND i.state = 'Assigned'
   AND coalesce(t.state, '') <> 'Created'
 ORDER BY i.file_id, i.input_no
 LIMIT :limit;

-- name: inputs_of_odd
SELECT ti.task_id, i.file_id, i.input_no, i.state, coalesce(i.task_id = ti.task_id, false),
       coalesce(i.task_id <> ti.task_id AND o.state = 'Done', false), i.errors, i.replays,
       coalesce(f.state, 'Removed') NOT IN ('Lost', 'Removed')
  FROM json_each(:tasks) AS w
  CROSS JOIN task_input AS ti ON ti.task_id = w.value::bigint
  CROSS JOIN input AS i ON i.transformation_id = :transformation_id AND i.file_id = ti.file_id
  LEFT JOIN task AS o ON o.task_id = i.task_id
  LEFT JOIN file AS f ON f.file_id = i.file_id
 WHERE i.state <> 'Shared'
 ORDER BY ti.task_id, i.file_id, i.input_no;

-- name: state_of_task
SELECT state FROM task WHERE task_id = :task_id;

-- name: inputs_last_had
SELECT i.file_id, i.input_no, i.state
  FROM json_each(:files) AS w
  CROSS JOIN input AS i ON i.transformation_id = :transformation_id
                    AND i.file_id = w.value::bigint
 WHERE i.task_id = :task_id;

-- name: mend_task
UPDATE task SET state = :state, reason = :reason WHERE task_id = :task_id;

-- name: outputs_left
SELECT c.community, s.scope, f.name
  FROM task AS t
  CROSS JOIN file AS f ON f.job_id = t.job_id
  CROSS JOIN data_scope AS s ON s.scope_id = f.scope_id
  CROSS JOIN data_community AS c ON c.community_id = f.community_id
 WHERE t.task_id = :task_id AND f.state NOT IN ('Lost', 'Removed')
 ORDER BY f.file_id;

-- name: reports
SELECT r.report_id, r.transformation_id, t.name, t.community, r.cycle, r.cause, r.at, r.title,
       r.saved, r.for_people, r.body, r.mail_due, r.mailed_at, r.mail_tries, r.mail_why
  FROM failover_report AS r
 CROSS JOIN transformation AS t ON t.transformation_id = r.transformation_id
 WHERE r.report_id < :before AND r.at >= :since
   AND (:report_id::bigint IS NULL OR r.report_id = :report_id)
   AND (:community::text IS NULL OR t.community = :community)
   AND (:owner_id::bigint IS NULL OR t.owner_id = :owner_id)
   AND (:groups::text IS NULL OR t.group_name IN (SELECT value FROM json_each(:groups)))
   AND (:transformation_id::bigint IS NULL OR r.transformation_id = :transformation_id)
 ORDER BY r.report_id DESC
 LIMIT :limit;

-- name: mails_due
SELECT r.report_id, r.transformation_id, t.name, t.community, r.cycle, r.cause, r.at, r.title,
       r.saved, r.for_people, r.body, r.mail_due, r.mailed_at, r.mail_tries, r.mail_why
  FROM failover_report AS r
 CROSS JOIN transformation AS t ON t.transformation_id = r.transformation_id
 WHERE r.mail_due IS NOT NULL AND r.mail_due <= :now
 ORDER BY r.report_id
 LIMIT :limit;

-- name: report_mailed
UPDATE failover_report SET mailed_at = :at, mail_due = NULL, mail_why = ''
 WHERE report_id = :report_id;

-- name: report_not_mailed
UPDATE failover_report SET mail_due = :due, mail_tries = mail_tries + 1, mail_why = :why
 WHERE report_id = :report_id AND mailed_at IS NULL;

-- name: drop_reports
DELETE FROM failover_report
 WHERE report_id IN (SELECT report_id FROM failover_report WHERE at < :before
                      ORDER BY report_id LIMIT :limit);
