-- Pilots that a factory submits: what their element calls them, and what they printed. The row is
-- there before the element is asked, so that no pilot is submitted that nobody knows of.
CREATE TABLE slot (
    pilot     TEXT PRIMARY KEY REFERENCES pilot,
    shape     TEXT NOT NULL,             -- as the plan names it
    slot      TEXT,                      -- the element's own name of it; NULL: it has not said
    kept      INTEGER NOT NULL DEFAULT 1 CHECK (kept IN (0, 1)), -- by its element, for all we know
    exit_code INTEGER,
    stdout    BLOB NOT NULL DEFAULT x'', -- the ends of what it printed
    stderr    BLOB NOT NULL DEFAULT x''
) WITHOUT ROWID;

CREATE INDEX slot_kept ON slot (pilot) WHERE kept = 1;
