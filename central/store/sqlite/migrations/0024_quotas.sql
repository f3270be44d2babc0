-- Quotas, what is used of them, and who holds which content.

-- Limits of one community, group or owner. NULL: no limit.
CREATE TABLE quota (
    kind      TEXT NOT NULL CHECK (kind IN ('community', 'group', 'owner')),
    community TEXT NOT NULL,
    name      TEXT NOT NULL, -- the group, or the owner as it is shown; of a community: empty
    jobs      INTEGER CHECK (jobs >= 0),
    bytes     INTEGER CHECK (bytes >= 0),
    PRIMARY KEY (kind, community, name)
) WITHOUT ROWID;

-- Jobs that have not ended, and bytes that are held.
CREATE TABLE quota_use (
    kind      TEXT NOT NULL CHECK (kind IN ('community', 'group', 'owner')),
    community TEXT NOT NULL,
    name      TEXT NOT NULL, -- the group, or the id of the owner; of a community: empty
    jobs      INTEGER NOT NULL DEFAULT 0,
    bytes     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, community, name)
) WITHOUT ROWID;

-- A content that an owner has brought, or a job of that owner. It counts for each holder.
CREATE TABLE holding (
    sha256     TEXT NOT NULL,
    owner_id   INTEGER NOT NULL,
    group_name TEXT NOT NULL,
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    at         REAL NOT NULL, -- when it was brought or asked for last
    PRIMARY KEY (sha256, owner_id, group_name)
) WITHOUT ROWID;

-- Stores of 0.1 have contents without a holder, and a row here. Until all names are read
-- (`counted`), and until a moment that is set then, everybody who knows a hash may read them.
CREATE TABLE holding_state (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    counted    INTEGER NOT NULL CHECK (counted IN (0, 1)),
    open_until REAL NOT NULL
);

INSERT INTO holding_state (one, counted, open_until)
SELECT 1, 0, 0.0 WHERE EXISTS (SELECT 1 FROM owner);
