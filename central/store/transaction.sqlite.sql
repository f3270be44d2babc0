-- name: begin
BEGIN IMMEDIATE;

-- name: checkpoint
PRAGMA wal_checkpoint(PASSIVE);
