"""Finds results of earlier tasks that new tasks may reuse."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pilotage.proto.catalogue import FileState
from pilotage.proto.limits import OUTPUTS_MAX

from ...catalogue import record_read as catalogue_read
from ...jobs import record as job_records
from ...ports import Blobs
from ...store.engine import Store
from . import record as reuse_records

CANDIDATES: Final = 3  # jobs with the same recipe whose files are looked for
AT_ONCE: Final = 100  # jobs whose files are looked for together


def recipe_of(community: str, group: str, made_of: str | bytes) -> str:
    """Return the recipe of a task: a hash of all that its result depends on.

    It has the group, so a task never reuses the result of another group.
    """
    found = hashlib.sha256(f"{community}\n{group}\n".encode())
    found.update(made_of.encode() if isinstance(made_of, str) else made_of)
    return found.hexdigest()


class KnownResults:
    """Finds Done jobs by recipe."""

    def __init__(self, *, store: Store, catalogue: Store, blobs: Blobs) -> None:
        self._store, self._catalogue, self._blobs = store, catalogue, blobs

    async def of(self, recipes: Iterable[str | None]) -> dict[str, int]:
        """Return a job for each recipe that has one with all files available."""
        asked = sorted({one for one in recipes if one})
        if not asked:
            return {}
        rows = await self._store.read(reuse_records.known_results, asked)
        found: dict[str, int] = {}
        for place in range(CANDIDATES):
            tried = {
                recipe: jobs[place]
                for recipe, jobs in rows.items()
                if recipe not in found and len(jobs) > place
            }
            whole = await self._whole(sorted(set(tried.values())))
            found |= {recipe: job for recipe, job in tried.items() if job in whole}
        return found

    async def _whole(self, jobs: Sequence[int]) -> set[int]:
        """Return the jobs whose files are all available."""
        found: set[int] = set()
        for first in range(0, len(jobs), AT_ONCE):
            some = jobs[first : first + AT_ONCE]
            found |= await self._with_blobs(some) - await self._without_files(some)
        return found

    async def _with_blobs(self, jobs: Sequence[int]) -> set[int]:
        attempts = await self._store.read(job_records.attempts_of_jobs, jobs)
        blobs: Mapping[int, set[str]] = {
            job: {
                one.sha256
                for one in next((it.outputs for it in reversed(several) if it.outputs), ())
            }
            for job, several in attempts.items()
        }
        lost = set(await self._blobs.missing(sorted(set[str]().union(*blobs.values()))))
        return {job for job, its in blobs.items() if not its & lost}

    async def _without_files(self, jobs: Sequence[int]) -> set[int]:
        """Return the jobs that have made files of the catalogue which cannot be read now."""
        most = len(jobs) * OUTPUTS_MAX
        files = await self._catalogue.read(catalogue_read.files_of_jobs, jobs, limit=most)
        return {
            one.job_id
            for one in files
            if one.job_id is not None and one.state is not FileState.AVAILABLE
        }
