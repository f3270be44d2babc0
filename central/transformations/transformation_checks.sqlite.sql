-- name: check_transformations
-- Computes the counts of transformations again from the rows.
WITH counted AS (
    SELECT transformation_id, input_no, state, count(*) AS files FROM input GROUP BY 1, 2, 3
), worked AS (
    SELECT transformation_id, state, count(*) AS tasks FROM task GROUP BY 1, 2
)
SELECT format('input %d of transformation %d, %s: says %d files, the rows say %d',
              n.input_no, n.transformation_id, n.state, n.files, coalesce(c.files, 0))
  FROM input_count AS n LEFT JOIN counted AS c USING (transformation_id, input_no, state)
 WHERE n.files <> coalesce(c.files, 0)
UNION ALL
SELECT format('tasks of transformation %d, %s: says %d, the rows say %d',
              n.transformation_id, n.state, n.tasks, coalesce(w.tasks, 0))
  FROM task_count AS n LEFT JOIN worked AS w USING (transformation_id, state)
 WHERE n.tasks <> coalesce(w.tasks, 0)
UNION ALL
SELECT format('transformation %d says that it has made %d tasks, the rows say %d',
              r.transformation_id, r.tasks_made,
              (SELECT count(*) FROM task AS t WHERE t.transformation_id = r.transformation_id))
  FROM transformation AS r
 WHERE r.tasks_made <> (SELECT count(*) FROM task AS t
                         WHERE t.transformation_id = r.transformation_id)
UNION ALL
SELECT format('file %d is Assigned in transformation %d, and its task %d is %s',
              i.file_id, i.transformation_id, i.task_id, coalesce(t.state, 'not there'))
  FROM input AS i LEFT JOIN task AS t ON t.task_id = i.task_id
 WHERE i.state = 'Assigned' AND coalesce(t.state, '') <> 'Created'
UNION ALL
SELECT format('task %d is Created, its job %d is %s, and nobody was told',
              t.task_id, t.job_id, j.state)
  FROM task AS t CROSS JOIN job AS j ON j.job_id = t.job_id
 WHERE t.state = 'Created' AND j.state IN ('Done', 'Failed', 'Killed')
   AND NOT EXISTS (SELECT 1 FROM task_end AS e WHERE e.task_id = t.task_id)
 LIMIT :limit;
