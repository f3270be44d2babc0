-- 1: the task failed, and its inputs went on in smaller tasks.
ALTER TABLE task ADD COLUMN is_split BIGINT NOT NULL DEFAULT 0;
