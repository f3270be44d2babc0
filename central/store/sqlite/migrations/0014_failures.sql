-- Attempts that failed, hour by hour, by class: what outlives the jobs, as series and accounts do.
CREATE TABLE failure (
    hour       INTEGER NOT NULL, -- since 1970, UTC
    community  TEXT NOT NULL,
    group_name TEXT NOT NULL,
    owner_id   INTEGER NOT NULL,
    transformation_id INTEGER NOT NULL, -- 0: of none, or not known any more
    site       TEXT NOT NULL,
    class      TEXT NOT NULL,
    attempts   INTEGER NOT NULL CHECK (attempts > 0),
    jobs       INTEGER NOT NULL CHECK (jobs >= 0 AND jobs <= attempts),
    examples   TEXT NOT NULL, -- JSON: ids of a few jobs, the newest first
    words      TEXT NOT NULL, -- JSON: what was said of them, and how often
    PRIMARY KEY (hour, community, group_name, owner_id, transformation_id, site, class)
) WITHOUT ROWID;
