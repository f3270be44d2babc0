-- Submissions that other processes than the one that keeps the queue take in.

CREATE TABLE arrival (
    submission_id BIGINT PRIMARY KEY,
    xid           XID8 NOT NULL DEFAULT pg_current_xact_id(),
    at            TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX arrival_of ON arrival (xid);

-- Submissions that arrive in chunks, and who writes them.
CREATE TABLE arriving (
    submission_id BIGINT PRIMARY KEY,
    writer        BIGINT NOT NULL,
    touched       TIMESTAMPTZ NOT NULL
);

-- Whether the connection of a process that writes is there.
CREATE FUNCTION is_writing(writer BIGINT) RETURNS BOOLEAN LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM pg_locks
                    WHERE locktype = 'advisory' AND classid = 70122 AND objid = writer::oid
                      AND objsubid = 2 AND granted
                      AND database = (SELECT oid FROM pg_database
                                       WHERE datname = current_database()))
$$;
