-- What was counted from the first day: it cannot be made up later, and it outlives the jobs.
CREATE TABLE series_key (
    key_id    INTEGER PRIMARY KEY,
    community TEXT NOT NULL,
    site      TEXT NOT NULL, -- empty: of no site yet
    type      TEXT NOT NULL,
    UNIQUE (community, site, type)
);

-- A slot that is here was counted; one that is not: the central was down.
CREATE TABLE series_slot (
    step_s  INTEGER NOT NULL,
    at      INTEGER NOT NULL, -- wall clock at its begin, a multiple of step_s
    samples INTEGER NOT NULL CHECK (samples > 0), -- of the finest step
    PRIMARY KEY (step_s, at)
) WITHOUT ROWID;

-- Levels are means over the samples of the slot, the others are sums. A row of zeros is left out.
CREATE TABLE series (
    step_s    INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    key_id    INTEGER NOT NULL,
    waiting   REAL NOT NULL,
    running   REAL NOT NULL,
    done      INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cpu_s     REAL NOT NULL,
    wall_s    REAL NOT NULL,
    core_s    REAL NOT NULL,
    hs23_s    REAL NOT NULL,
    bytes_in  INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    PRIMARY KEY (step_s, at, key_id)
) WITHOUT ROWID;

-- The books: what jobs of each owner have used, day by day.
CREATE TABLE account (
    day        INTEGER NOT NULL, -- since 1970, UTC
    community  TEXT NOT NULL,
    group_name TEXT NOT NULL,
    owner_id   INTEGER NOT NULL,
    type       TEXT NOT NULL,
    site       TEXT NOT NULL,
    done       INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    cpu_s      REAL NOT NULL,
    wall_s     REAL NOT NULL,
    core_s     REAL NOT NULL,
    hs23_s     REAL NOT NULL,
    bytes_in   INTEGER NOT NULL,
    bytes_out  INTEGER NOT NULL,
    PRIMARY KEY (day, community, group_name, owner_id, type, site)
) WITHOUT ROWID;
