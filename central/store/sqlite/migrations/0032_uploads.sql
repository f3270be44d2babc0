-- Uploads that no file names: those of people are noted before they begin, and found by path.
CREATE INDEX remnant_of_upload ON remnant (path) WHERE file_id = 0;
