-- Tokens of payloads: which jobs get tokens of their owner, and the grants that give them.

-- Classes whose jobs get tokens. The zones of a class say whether it has unfinished jobs.
CREATE TABLE token_class (
    class_id BIGINT PRIMARY KEY
);

-- Sessions that have ended for their person, but still give tokens to jobs.
CREATE INDEX login_session_kept ON login_session (session)
 WHERE ended_at IS NOT NULL AND refresh <> '';
