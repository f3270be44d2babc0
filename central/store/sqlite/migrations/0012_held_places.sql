-- Hosts and elements that are kept from jobs: all of them are written anew when that changes.
CREATE TABLE held_place (
    number INTEGER PRIMARY KEY,
    facts  BLOB NOT NULL           -- JSON: kind, site, name, since when, until when, why …
);
