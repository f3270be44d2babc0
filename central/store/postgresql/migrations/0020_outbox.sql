-- The outbox: published files that a Rucio server does not have yet.

INSERT INTO counter (name, next) VALUES ('outbox', 1);

-- Waiting: to be sent again at due_at. Confirmed: sent, but its job does not know it yet. Clash: Rucio
-- cannot take it as it is, so it is never sent again.
CREATE TABLE outbox (
    entry_id  BIGINT PRIMARY KEY,
    rucio     TEXT NOT NULL,             -- name of the server's file
    community TEXT NOT NULL,
    file_id   BIGINT NOT NULL,
    storage   TEXT NOT NULL,
    datasets  TEXT NOT NULL,             -- JSON list
    job_id    BIGINT NOT NULL,
    confirm   BIGINT NOT NULL CHECK (confirm IN (0, 1)), -- 1: its job is Completing until it is sent
    state     TEXT NOT NULL CHECK (state IN ('Waiting', 'Confirmed', 'Clash')),
    since     DOUBLE PRECISION NOT NULL,
    tries     BIGINT NOT NULL DEFAULT 0,
    due_at    DOUBLE PRECISION NOT NULL DEFAULT 0,
    why       TEXT NOT NULL,
    UNIQUE (file_id, storage, rucio, job_id)
);

CREATE INDEX outbox_due ON outbox (rucio, due_at, entry_id) WHERE state = 'Waiting';
CREATE INDEX outbox_since ON outbox (rucio, since) WHERE state = 'Waiting';
CREATE INDEX outbox_clash ON outbox (entry_id) WHERE state = 'Clash';
CREATE INDEX outbox_confirm ON outbox (job_id) WHERE confirm = 1;

-- Rules of Rucio that it was asked for, each once.
CREATE TABLE outbox_rule (
    rucio   TEXT NOT NULL,
    dataset TEXT NOT NULL,
    rule    TEXT NOT NULL, -- JSON
    PRIMARY KEY (rucio, dataset, rule)
);
