-- Named amounts that a match has given, as JSON. NULL: none.
ALTER TABLE attempt ADD COLUMN amounts TEXT;
