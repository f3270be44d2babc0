-- Tokens are found by whom they are for, listed page by page, and go some days after their end.

CREATE INDEX token_of_subject ON token (issuer, subject, expires_at);
CREATE INDEX token_issued ON token (issued_at, jti);
CREATE INDEX token_expires ON token (expires_at);
