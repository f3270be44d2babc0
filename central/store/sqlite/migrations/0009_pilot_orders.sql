-- What a pilot was ordered holds whatever becomes of it: lost and back, a new session, a restart.
ALTER TABLE pilot ADD COLUMN drain INTEGER NOT NULL DEFAULT 0 CHECK (drain IN (0, 1));
-- Who has told it to end without waiting for what it holds, and why; empty: nobody.
ALTER TABLE pilot ADD COLUMN told TEXT NOT NULL DEFAULT '' CHECK (told = '' OR drain = 1);
UPDATE pilot SET drain = 1 WHERE state = 'Draining';
