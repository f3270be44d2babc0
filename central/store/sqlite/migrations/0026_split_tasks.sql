-- 1: the task failed, and its inputs went on in smaller tasks.
ALTER TABLE task ADD COLUMN is_split INTEGER NOT NULL DEFAULT 0;
