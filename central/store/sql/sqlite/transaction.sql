-- name: begin
BEGIN IMMEDIATE;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: savepoint
SAVEPOINT batch;

-- name: keep_savepoint
RELEASE batch;

-- name: undo_to_savepoint
ROLLBACK TO batch;

-- name: checkpoint
PRAGMA wal_checkpoint(PASSIVE);
