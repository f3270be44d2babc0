"""Find the jobs that made files, and the jobs that read them, step by step."""

from collections.abc import Sequence
from typing import Final

from pilotage.proto.api.data import Direction
from pilotage.proto.catalogue import Did

from ..store.engine import Store
from . import record_read as catalogue_read
from .record_types import FileRow

Link = tuple[int, list[Did], list[Did], int]  # job, files read, files made, number of steps

STEPS_MAX: Final = 50
OUTPUTS_MAX: Final = 10_000  # files of one step


async def links_of(
    store: Store, community: str, did: Did, direction: Direction, limit: int
) -> tuple[list[Link], bool]:
    """Return at most `limit` jobs with their files, nearest first, and whether more exist."""
    rows = [
        row
        for row in await store.read(catalogue_read.files_by_did, community, [did])
        if row is not None
    ]
    seen: set[int] = set()
    links: list[Link] = []
    for step in range(1, STEPS_MAX + 1):
        jobs = [job for job in await _jobs(store, rows, direction, limit) if job not in seen]
        if not jobs:
            return links, False
        room = limit - len(links)
        seen.update(jobs)
        read = await store.read(catalogue_read.inputs_of_jobs, jobs[:room])
        by_id = await store.read(
            catalogue_read.files_by_id, [i for ids in read.values() for i in ids]
        )
        made = await store.read(catalogue_read.files_of_jobs, jobs[:room], limit=OUTPUTS_MAX)
        for job in jobs[:room]:
            inputs = [by_id[one].did for one in read.get(job, ()) if one in by_id]
            links.append((job, inputs, [row.did for row in made if row.job_id == job], step))
        if len(jobs) > room or len(made) == OUTPUTS_MAX:
            return links, True
        rows = list(by_id.values()) if direction is Direction.UP else made
    return links, True


async def _jobs(
    store: Store, rows: Sequence[FileRow], direction: Direction, limit: int
) -> list[int]:
    """Return the jobs that made these files, or that read them, without duplicates."""
    if direction is Direction.UP:
        return sorted({row.job_id for row in rows if row.job_id is not None})
    ids = [row.file_id for row in rows]
    pairs = await store.read(catalogue_read.jobs_reading, ids, limit=limit + 1) if ids else []
    return sorted({job for _, job in pairs})
