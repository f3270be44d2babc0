-- name: held_tasks
-- Counts how often an input was reassigned: its earlier tasks that failover has killed.
SELECT t.transformation_id, t.task_id, t.number, t.job_id, count(i.file_id),
       coalesce(max((SELECT count(*)
                       FROM task_input AS o
                      CROSS JOIN task AS b ON b.task_id = o.task_id
                      WHERE o.file_id = i.file_id AND b.transformation_id = t.transformation_id
                        AND b.state = 'Killed' AND b.reason = :reassigned)), 0)
  FROM job AS j
 CROSS JOIN task AS t ON t.task_id = j.task_id
  LEFT JOIN task_input AS ti ON ti.task_id = t.task_id
  LEFT JOIN input AS i ON i.transformation_id = t.transformation_id AND i.file_id = ti.file_id
                      AND i.task_id = t.task_id AND i.state = 'Assigned'
 WHERE j.state = 'Held' AND j.task_id IS NOT NULL AND t.state = 'Created'
   AND substr(j.reason, 1, length(:lost)) = :lost
   AND t.transformation_id IN (SELECT value FROM json_each(:ids))
 GROUP BY t.transformation_id, t.task_id, t.number, t.job_id
 ORDER BY t.task_id;

-- name: odd_outputs
-- A task that failed has not read the file. A job of a task counts by its task.
SELECT t.task_id, t.number, t.job_id, t.state, count(*),
       sum(f.state IN ('Lost', 'Removed')), sum(f.state = 'Lost'),
       max(EXISTS (SELECT 1 FROM task_input AS ti JOIN task AS r ON r.task_id = ti.task_id
                   WHERE ti.file_id = f.file_id AND r.state IN ('Created', 'Done'))
        OR EXISTS (SELECT 1 FROM job_input AS ji JOIN job AS j ON j.job_id = ji.job_id
                    WHERE ji.file_id = f.file_id AND j.task_id IS NULL
                      AND j.state NOT IN ('Failed', 'Killed')))
  FROM task AS t CROSS JOIN file AS f ON f.job_id = t.job_id
 WHERE t.transformation_id = :transformation_id AND t.state <> 'Created' AND t.number > :after
 GROUP BY t.task_id, t.number, t.job_id, t.state
HAVING CASE WHEN t.state = 'Done' THEN sum(f.state IN ('Lost', 'Removed')) > 0
            ELSE sum(f.state NOT IN ('Lost', 'Removed')) > 0 END
 ORDER BY t.number
 LIMIT :limit;

-- name: outputs_are_read
SELECT coalesce(max(EXISTS (SELECT 1 FROM task_input AS ti JOIN task AS r ON r.task_id = ti.task_id
                   WHERE ti.file_id = f.file_id AND r.state IN ('Created', 'Done'))
        OR EXISTS (SELECT 1 FROM job_input AS ji JOIN job AS j ON j.job_id = ji.job_id
                    WHERE ji.file_id = f.file_id AND j.task_id IS NULL
                      AND j.state NOT IN ('Failed', 'Killed'))), 0)
  FROM task AS t CROSS JOIN file AS f ON f.job_id = t.job_id
 WHERE t.task_id = :task_id;
