-- name: inputs_of_job
SELECT position, file_id FROM job_input WHERE job_id = :job_id ORDER BY position;

-- name: remove_job_inputs
DELETE FROM job_input WHERE job_id BETWEEN :first AND :last;

-- name: begin_publication
-- In the transaction that writes the job's result. It is undone if the result is refused.
SAVEPOINT publication;

-- name: undo_publication
ROLLBACK TO publication;

-- name: end_publication
RELEASE publication;
