-- Notifications by mail and webhook. A person is an owner: an identity in a community.

-- Where a person wants to be told. Without a row: the address that the provider has verified.
CREATE TABLE notify_address (
    owner_id BIGINT PRIMARY KEY,
    mail     TEXT NOT NULL,
    webhook  TEXT NOT NULL
);

-- What is still to be told. A row goes when nothing is left.
CREATE TABLE subscription (
    kind       TEXT NOT NULL CHECK (kind IN ('submission', 'production')),
    subject_id BIGINT NOT NULL,
    owner_id   BIGINT NOT NULL,
    events     TEXT NOT NULL CHECK (events <> ''),   -- separated by commas
    PRIMARY KEY (kind, subject_id, owner_id)
);

CREATE INDEX subscription_of_owner ON subscription (owner_id);

-- The outbox. Several notifications can go into one message, which has the id of the first.
CREATE TABLE notification (
    notification_id BIGINT PRIMARY KEY,
    owner_id        BIGINT NOT NULL,
    channel         TEXT NOT NULL CHECK (channel IN ('mail', 'webhook')),
    at              DOUBLE PRECISION NOT NULL,
    body            BYTEA NOT NULL,                     -- JSON
    message_id      BIGINT,                           -- NULL: in no message yet
    tries           BIGINT NOT NULL DEFAULT 0,
    due             DOUBLE PRECISION,                              -- NULL: sent, given up, or not the first
    sent_at         DOUBLE PRECISION,
    why             TEXT NOT NULL DEFAULT ''
);

CREATE INDEX notification_due ON notification (channel, due) WHERE due IS NOT NULL;
CREATE INDEX notification_of_owner ON notification (owner_id, channel, notification_id);
CREATE INDEX notification_of_message ON notification (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX notification_at ON notification (at);

INSERT INTO counter (name, next) VALUES ('notification', 1);
