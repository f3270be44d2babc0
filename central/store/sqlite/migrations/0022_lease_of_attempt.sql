-- For how long each word of a pilot holds an attempt, as its pilot was told: it goes by that when it
-- pauses, whatever is set later. 0: of before; as it is set now.
ALTER TABLE attempt ADD COLUMN lease_s REAL NOT NULL DEFAULT 0;
