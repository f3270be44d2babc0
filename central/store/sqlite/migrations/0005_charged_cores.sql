-- How many cores the owner of an attempt is charged with: more than it has where it takes most of the
-- memory or GPUs of its pilot. 0: those that it has, as of all attempts of before.
ALTER TABLE attempt ADD COLUMN charged_cores REAL NOT NULL DEFAULT 0;
