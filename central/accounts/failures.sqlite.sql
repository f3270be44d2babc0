-- name: put_failures
INSERT OR REPLACE INTO failure (hour, community, group_name, owner_id, transformation_id, site,
                                class, attempts, jobs, examples, words)
VALUES (:hour, :community, :group, :owner_id, :transformation_id, :site, :failure, :attempts, :jobs,
        :examples, :words);
