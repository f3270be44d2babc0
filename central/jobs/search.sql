-- Search for jobs. One clause drives each statement. The others are filters, NULL if not given.
-- `states` are shown states: the state of a live attempt takes precedence over that of the job.

-- name: classes_of_owner
SELECT c.class_id
  FROM class AS c
  JOIN owner AS o USING (owner_id)
 WHERE c.owner_id = :owner_id
   AND (:community::text IS NULL OR c.community = :community)
   AND (:owner::text IS NULL OR o.subject = :owner)
   AND (:type::text IS NULL OR c.type = :type)
   AND (:groups::text IS NULL OR c.group_name IN (SELECT value FROM json_each(:groups)));

-- name: classes_of_community
SELECT c.class_id
  FROM class AS c
  JOIN owner AS o USING (owner_id)
 WHERE c.community = :community
   AND (:owner::text IS NULL OR o.subject = :owner)
   AND (:type::text IS NULL OR c.type = :type)
   AND (:groups::text IS NULL OR c.group_name IN (SELECT value FROM json_each(:groups)));

-- name: classes_of_any
SELECT c.class_id
  FROM class AS c
  JOIN owner AS o USING (owner_id)
 WHERE (:owner::text IS NULL OR o.subject = :owner)
   AND (:type::text IS NULL OR c.type = :type)
   AND (:groups::text IS NULL OR c.group_name IN (SELECT value FROM json_each(:groups)));

-- name: submissions_named
SELECT submission_id FROM submission
 WHERE name = :name AND complete = 1
   AND (:community::text IS NULL OR community = :community)
   AND (:owner_id::bigint IS NULL OR owner_id = :owner_id)
   AND (:submission_id::bigint IS NULL OR submission_id = :submission_id)
 ORDER BY submission_id DESC
 LIMIT :limit;

-- name: ids_ahead
-- Search among the next 1 024 jobs.
SELECT j.job_id
  FROM (SELECT job_id, class_id, submission_id, deleted
          FROM job WHERE job_id > :after ORDER BY job_id LIMIT 1024) AS j
 CROSS JOIN class AS c ON c.class_id = j.class_id
 CROSS JOIN owner AS o ON o.owner_id = c.owner_id
 WHERE (:include_deleted::bigint = 1 OR j.deleted = 0)
   AND (:community::text IS NULL OR c.community = :community)
   AND (:owner_id::bigint IS NULL OR c.owner_id = :owner_id)
   AND (:owner::text IS NULL OR o.subject = :owner)
   AND (:type::text IS NULL OR c.type = :type)
   AND (:groups::text IS NULL OR c.group_name IN (SELECT value FROM json_each(:groups)))
   AND j.submission_id NOT IN (SELECT submission_id FROM submission WHERE complete = 0)
 ORDER BY j.job_id
 LIMIT :limit;

-- name: zones_of_classes
SELECT DISTINCT z.zone
  FROM json_each(:classes) AS c
 CROSS JOIN json_each(:states) AS s
 CROSS JOIN zone AS z ON z.class_id = c.value::bigint AND z.state = s.value
 WHERE z.zone BETWEEN :from AND :to AND z.jobs > 0
 ORDER BY z.zone;

-- name: zones
SELECT DISTINCT zone FROM zone
 WHERE state IN (SELECT value FROM json_each(:states))
   AND zone BETWEEN :from AND :to AND jobs > 0
 ORDER BY zone;

-- name: ids_live
SELECT j.job_id
  FROM attempt AS l INDEXED BY attempt_live
 CROSS JOIN job AS j ON j.job_id = l.job_id
 WHERE l.live = 1 AND l.job_id > :after
   AND l.state IN (SELECT value FROM json_each(:states))
   AND (:site_id::bigint IS NULL OR l.site_id = :site_id)
   AND (:classes::text IS NULL OR j.class_id IN (SELECT value::bigint FROM json_each(:classes)))
   AND (:submission_id::bigint IS NULL OR j.submission_id = :submission_id)
 ORDER BY l.job_id
 LIMIT :limit;

-- name: ids_named
-- Find jobs with an individual name.
SELECT j.job_id
  FROM body AS b INDEXED BY body_of_name
 CROSS JOIN job AS j ON j.job_id = b.job_id
  LEFT JOIN attempt AS l ON l.job_id = j.job_id AND l.live = 1
 WHERE b.name = :name AND b.job_id > :after
   AND (:states::text IS NULL
        OR coalesce(l.state, j.state) IN (SELECT value FROM json_each(:states)))
   AND (:include_deleted::bigint = 1 OR j.deleted = 0)
   AND (:classes::text IS NULL OR j.class_id IN (SELECT value::bigint FROM json_each(:classes)))
   AND (:site_id::bigint IS NULL OR coalesce(l.site_id, j.site_id) = :site_id)
   AND (:submission_id::bigint IS NULL OR j.submission_id = :submission_id)
   AND j.submission_id NOT IN (SELECT submission_id FROM submission WHERE complete = 0)
 ORDER BY b.job_id
 LIMIT :limit;
