-- The needs of jobs that wait or are held can change: then another class counts the job.

DROP TRIGGER job_moves_in_its_zone;

CREATE TRIGGER job_moves_in_its_zone AFTER UPDATE OF state, class_id ON job
WHEN old.state <> new.state OR old.class_id <> new.class_id
BEGIN
    UPDATE zone SET jobs = jobs - 1
     WHERE class_id = old.class_id AND state = old.state AND zone = old.job_id >> 10;
    INSERT INTO zone (class_id, state, zone, jobs)
    VALUES (new.class_id, new.state, new.job_id >> 10, 1)
        ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;
