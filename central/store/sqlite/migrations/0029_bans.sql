-- Bans of persons. A person is (issuer, subject), in all communities.
CREATE TABLE ban (
    ban_id      INTEGER PRIMARY KEY,
    issuer      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    who         TEXT NOT NULL,
    reason      TEXT NOT NULL,
    at          REAL NOT NULL,
    lifted_by   TEXT NOT NULL DEFAULT '',
    lifted_at   REAL, -- NULL: in force
    released_at REAL, -- since then no job is held by the lifted ban
    UNIQUE (issuer, subject),
    CHECK (released_at IS NULL OR lifted_at IS NOT NULL)
);
CREATE INDEX ban_released ON ban (released_at) WHERE released_at IS NOT NULL;
