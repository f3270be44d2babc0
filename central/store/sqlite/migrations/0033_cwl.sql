-- Runs of CWL documents, one for each production of such a document.

CREATE TABLE cwl_run (
    production_id INTEGER PRIMARY KEY,
    status        TEXT NOT NULL DEFAULT '' CHECK (status IN ('', 'success', 'temporaryFail', 'permanentFail')),
    why           TEXT NOT NULL DEFAULT '',
    outputs       BLOB                      -- zlib of JSON; NULL: it still runs
);

CREATE INDEX cwl_run_open ON cwl_run (production_id) WHERE status = '';

-- Jobs of runs that have not ended. The key names the job in its run: a run that is made again wants
-- the same keys.
CREATE TABLE cwl_job (
    production_id INTEGER NOT NULL,
    key           TEXT NOT NULL,
    task_id       INTEGER NOT NULL,
    job_id        INTEGER NOT NULL,
    result        BLOB,                     -- zlib of JSON; NULL: not taken yet
    PRIMARY KEY (production_id, key)
) WITHOUT ROWID;

CREATE INDEX cwl_job_open ON cwl_job (production_id, task_id) WHERE result IS NULL;
