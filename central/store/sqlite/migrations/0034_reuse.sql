-- Results that other tasks may reuse.

-- A hash of all that the result of a task depends on; NULL: it is not to be reused.
ALTER TABLE task ADD COLUMN recipe TEXT;
-- 1: its job is that of an earlier task.
ALTER TABLE task ADD COLUMN is_reused INTEGER NOT NULL DEFAULT 0;

CREATE INDEX task_of_recipe ON task (recipe) WHERE recipe IS NOT NULL;
CREATE INDEX task_reused ON task (transformation_id) WHERE is_reused = 1;
DROP INDEX task_of_job;
CREATE INDEX task_of_job ON task (job_id, is_reused);
CREATE INDEX cwl_job_of_job ON cwl_job (job_id);
