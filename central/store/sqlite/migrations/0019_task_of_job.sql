-- Who made a file is asked of each that may become an input, also when the job is gone.
CREATE INDEX task_of_job ON task (job_id);
