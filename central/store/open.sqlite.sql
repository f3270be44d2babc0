-- name: set_page_size
PRAGMA page_size = 4096;

-- name: set_journal_mode
PRAGMA journal_mode = WAL;

-- name: set_no_log
-- A copy must be a single file.
PRAGMA journal_mode = DELETE;

-- name: set_synchronous
-- NORMAL loses acknowledged rows at a power cut.
PRAGMA synchronous = FULL;

-- name: set_cache
-- 64 MiB hold the job rows of a million jobs, and the inner pages of all other tables.
PRAGMA cache_size = -65536;

-- name: set_reader_cache
PRAGMA cache_size = -16384;

-- name: set_no_mmap
-- Mapped reads are slower than read() from the page cache.
PRAGMA mmap_size = 0;

-- name: set_no_autocheckpoint
-- SQLite ignores I/O errors in automatic checkpoints. The writer runs its own ones and sees errors.
PRAGMA wal_autocheckpoint = 0;

-- name: set_log_size
-- 32 MiB. SQLite cuts the log to this size when it starts the log again.
PRAGMA journal_size_limit = 33554432;

-- name: set_foreign_keys
PRAGMA foreign_keys = ON;

-- name: set_no_foreign_keys
PRAGMA foreign_keys = OFF;

-- name: set_temp_store
PRAGMA temp_store = MEMORY;

-- name: set_query_only
PRAGMA query_only = ON;

-- name: get_journal_mode
PRAGMA journal_mode;

-- name: get_synchronous
PRAGMA synchronous;

-- name: get_foreign_keys
PRAGMA foreign_keys;

-- name: make_generation
INSERT INTO store (one, generation, made_at) VALUES (1, lower(hex(randomblob(16))), :at)
    ON CONFLICT DO NOTHING;

-- name: arriving_submissions
SELECT submission_id FROM submission WHERE complete = 0;

-- name: make_migrations
CREATE TABLE IF NOT EXISTS migration (
    number   INTEGER PRIMARY KEY,
    name     TEXT NOT NULL,
    checksum TEXT NOT NULL,
    at       REAL NOT NULL
);
