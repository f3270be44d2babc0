-- What operators have said of sites and elements: that they are banned, or draining.
CREATE TABLE place_mark (
    place  TEXT PRIMARY KEY,       -- SITE, or SITE/ELEMENT
    mark   TEXT NOT NULL CHECK (mark IN ('banned', 'draining')),
    who    TEXT NOT NULL,
    reason TEXT NOT NULL,
    at     REAL NOT NULL
) WITHOUT ROWID;
