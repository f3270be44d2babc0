-- name: put_failures
INSERT INTO failure (hour, community, group_name, owner_id, transformation_id, site, class,
                     attempts, jobs, examples, words)
VALUES (:hour, :community, :group, :owner_id, :transformation_id, :site, :failure, :attempts, :jobs,
        :examples, :words)
    ON CONFLICT (hour, community, group_name, owner_id, transformation_id, site, class) DO UPDATE
   SET attempts = excluded.attempts, jobs = excluded.jobs, examples = excluded.examples,
       words = excluded.words;
