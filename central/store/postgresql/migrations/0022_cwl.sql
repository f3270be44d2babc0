-- Runs of CWL documents, one for each production of such a document.

CREATE TABLE cwl_run (
    production_id BIGINT PRIMARY KEY,
    status        TEXT NOT NULL DEFAULT '' CHECK (status IN ('', 'success', 'temporaryFail', 'permanentFail')),
    why           TEXT NOT NULL DEFAULT '',
    outputs       BYTEA                     -- zlib of JSON; NULL: it still runs
);

CREATE INDEX cwl_run_open ON cwl_run (production_id) WHERE status = '';

-- Jobs of runs that have not ended. The key names the job in its run: a run that is made again wants
-- the same keys.
CREATE TABLE cwl_job (
    production_id BIGINT NOT NULL,
    key           TEXT NOT NULL,
    task_id       BIGINT NOT NULL,
    job_id        BIGINT NOT NULL,
    result        BYTEA,                     -- zlib of JSON; NULL: not taken yet
    PRIMARY KEY (production_id, key)
);

CREATE INDEX cwl_job_open ON cwl_job (production_id, task_id) WHERE result IS NULL;
