-- What the store was called before it was restored: attempts of jobs of that time have stored in
-- folders of that name.

CREATE TABLE earlier (
    generation TEXT PRIMARY KEY,
    jobs_below INTEGER NOT NULL -- ids of jobs that it knew
) WITHOUT ROWID;
