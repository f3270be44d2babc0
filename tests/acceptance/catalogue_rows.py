"""The catalogue of a story, read out of its store beside the central."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILES = """
SELECT s.scope || ':' || f.name, f.state, f.job_id, f.epoch, f.bytes, m.metadata, f.own, f.file_id
  FROM file AS f JOIN data_scope AS s USING (scope_id) JOIN meta_set AS m USING (set_id)
 ORDER BY 1
"""
_REPLICAS = "SELECT file_id, storage, path, state FROM replica ORDER BY storage"
_DATASETS = """
SELECT d.name, df.file_id FROM dataset AS d JOIN dataset_file AS df USING (dataset_id)
"""


@dataclass(frozen=True)
class FoundFile:
    """A file as the catalogue has it: copies are (path, state) by storage."""

    did: str
    state: str
    job: int
    epoch: int
    size: int
    metadata: dict[str, Any]
    copies: dict[str, tuple[str, str]]
    datasets: tuple[str, ...]


def files_in(data: Path) -> dict[str, FoundFile]:
    """Return the files in the catalogue of a central, by DID."""
    with closing(sqlite3.connect(f"file:{data / 'store.sqlite'}?mode=ro", uri=True)) as store:
        rows = store.execute(_FILES).fetchall()
        replicas = store.execute(_REPLICAS).fetchall()
        datasets = store.execute(_DATASETS).fetchall()
    return {
        did: FoundFile(
            did=did,
            state=state,
            job=job,
            epoch=epoch,
            size=size,
            metadata={**json.loads(shared), **json.loads(own or "{}")},
            copies={one[1]: (one[2], one[3]) for one in replicas if one[0] == file_id},
            datasets=tuple(sorted(name for name, one in datasets if one == file_id)),
        )
        for did, state, job, epoch, size, shared, own, file_id in rows
    }
