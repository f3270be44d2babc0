-- The image that an attempt ran in: a path of its node, or a name with its digest.

ALTER TABLE attempt ADD COLUMN image TEXT NOT NULL DEFAULT '';
