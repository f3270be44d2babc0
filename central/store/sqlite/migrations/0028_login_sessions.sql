-- Sessions of people who logged in through an identity provider.

CREATE TABLE login_session (
    session    TEXT PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('command', 'browser')),
    provider   TEXT NOT NULL, -- name of its file
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    name       TEXT NOT NULL,
    email      TEXT NOT NULL, -- verified by the provider, or empty
    community  TEXT NOT NULL,
    groups     TEXT NOT NULL, -- JSON list
    role       TEXT NOT NULL,
    host       TEXT NOT NULL,
    address    TEXT NOT NULL,
    created_at REAL NOT NULL,
    ends_at    REAL NOT NULL,
    used_at    REAL NOT NULL,
    checked_at REAL NOT NULL, -- when the provider last confirmed the groups
    renewals   INTEGER NOT NULL, -- the number of the valid renewal secret
    nonce      TEXT NOT NULL, -- hash of the nonce of the last renewal
    renewed_at REAL NOT NULL,
    refresh    TEXT NOT NULL, -- refresh token of the provider, encrypted; empty: it gave none
    cookie     TEXT NOT NULL, -- hash of the cookie of a browser; else empty
    ended_at   REAL,
    ended_why  TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX login_session_of_person ON login_session (issuer, subject, created_at);
CREATE INDEX login_session_created ON login_session (created_at, session);
CREATE INDEX login_session_ended ON login_session (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX login_session_ends ON login_session (ends_at);
CREATE UNIQUE INDEX login_session_cookie ON login_session (cookie) WHERE cookie <> '';

-- People who logged in: how to name and reach them.
CREATE TABLE person (
    issuer  TEXT NOT NULL,
    subject TEXT NOT NULL,
    name    TEXT NOT NULL,
    email   TEXT NOT NULL, -- verified by the provider, or empty
    seen_at REAL NOT NULL, -- when the provider described them last
    PRIMARY KEY (issuer, subject)
) WITHOUT ROWID;
