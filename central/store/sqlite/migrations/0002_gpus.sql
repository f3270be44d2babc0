-- How many GPUs an attempt was given: none before there was anything to ask for them with.
ALTER TABLE attempt ADD COLUMN gpus INTEGER NOT NULL DEFAULT 0;
