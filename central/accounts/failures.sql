-- name: transformations_of_jobs
SELECT j.job_id, t.transformation_id
  FROM json_each(:ids) AS i
 CROSS JOIN job AS j ON j.job_id = i.value::bigint
 CROSS JOIN task AS t ON t.task_id = j.task_id;

-- name: get_failures
SELECT attempts, jobs, examples, words FROM failure
 WHERE hour = :hour AND community = :community AND group_name = :group AND owner_id = :owner_id
   AND transformation_id = :transformation_id AND site = :site AND class = :failure;

-- name: oldest_failures
SELECT min(hour) FROM failure;

-- name: drop_failures
DELETE FROM failure WHERE hour < :before;

-- name: count_failures
SELECT class, site, sum(attempts)::bigint AS attempts, sum(jobs)::bigint FROM failure
 WHERE hour >= :since
   AND (:community::text IS NULL OR community = :community)
   AND (:owners::text IS NULL OR owner_id IN (SELECT value::bigint FROM json_each(:owners)))
   AND (:groups::text IS NULL OR group_name IN (SELECT value FROM json_each(:groups)))
   AND (:site::text IS NULL OR site = :site)
   AND (:transformation_id::bigint IS NULL OR transformation_id = :transformation_id)
 GROUP BY class, site
 ORDER BY attempts DESC, class, site
 LIMIT :limit;

-- name: examples_of_failures
SELECT class, site, examples, words FROM failure
 WHERE hour >= :since
   AND (:community::text IS NULL OR community = :community)
   AND (:owners::text IS NULL OR owner_id IN (SELECT value::bigint FROM json_each(:owners)))
   AND (:groups::text IS NULL OR group_name IN (SELECT value FROM json_each(:groups)))
   AND (:site::text IS NULL OR site = :site)
   AND (:transformation_id::bigint IS NULL OR transformation_id = :transformation_id)
 ORDER BY hour DESC
 LIMIT :limit;

-- name: jobs_of_input
SELECT t.job_id
  FROM task_input AS ti CROSS JOIN task AS t ON t.task_id = ti.task_id
 WHERE ti.file_id = :file_id AND t.transformation_id = :transformation_id
 ORDER BY ti.task_id DESC
 LIMIT :limit;
