"""Paths on storages that users may not name: attempts and `data put` store there.

A removed copy bars its path. A user could otherwise register and remove a copy at a path where
another user's job is about to store, and make that job fail.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from pilotage.proto.catalogue import PUT_FOLDER, BadCatalogueField, Did
from pilotage.proto.job_states import FINAL, JobState

from ..identity.scope import OwnedObject
from ..store.engine import Store
from . import record_read as catalogue_read
from .publications import GENERATION_SHOWN
from .record_types import ReplicaRow
from .rights import WriteScope

FIELD = "replicas.path"
_ATTEMPT_PARTS = 4  # COMMUNITY/GENERATION/JOB/EPOCH
_PUT_PARTS = 4  # COMMUNITY/put/ANYTHING/NAME


async def copies_of(
    store: Store, community: str, dids: Sequence[Did]
) -> dict[Did, list[ReplicaRow]]:
    """Return the copies of the existing files by name."""
    found = await store.read(catalogue_read.files_by_did, community, dids)
    rows = [row for row in found if row is not None]
    copies = await store.read(catalogue_read.replicas_of, [row.file_id for row in rows])
    return {row.did: copies.get(row.file_id, []) for row in rows}


class JobAtRest(OwnedObject, Protocol):
    """The job that owns a folder on a storage."""

    @property
    def state(self) -> JobState: ...


JobOf = Callable[[int], Awaitable[JobAtRest | None]]


async def no_jobs(_: int) -> None:
    """Return None for every job id."""


def _is_transfer(part: str) -> bool:
    """Return whether a copy between storages stores below a folder of this name (t7)."""
    return part[:1] == "t" and part[1:].isdecimal()


class ReservedPaths:
    """Checks whether a user may register copies at given paths."""

    def __init__(
        self, store: Store, job_of: JobOf, community: str, right: WriteScope, owner_id: int
    ) -> None:
        self._store, self._job_of_id, self._community = store, job_of, community
        self._right, self._owner_id = right, owner_id
        self._known: set[tuple[str, str, str]] = set()  # (name, storage, path) of existing copies
        self._whys: dict[int, str] = {}  # by job: why no copy may be registered in its folders

    async def look(self, wanted: Iterable[tuple[str, str, str]]) -> None:
        """Read the jobs whose folders contain these (name, storage, path) items."""
        inside: list[tuple[Did, int]] = []
        for name, _, path in wanted:
            job_id = self._job_of(path)
            if job_id is not None:
                try:
                    inside.append((Did.parse(name), job_id))
                except BadCatalogueField:
                    continue  # the check of the item reports it
        if not inside:
            return
        dids = list({did for did, _ in inside})
        for did, copies in (await copies_of(self._store, self._community, dids)).items():
            self._known.update((str(did), copy.storage, copy.path) for copy in copies)
        for job_id in {job_id for _, job_id in inside}:
            self._whys[job_id] = await self._why(job_id)

    async def _why(self, job_id: int) -> str:
        if self._right.groups is None:
            return ""
        job = await self._job_of_id(job_id)
        if job is None or job.community != self._community:
            return f"job {job_id} does not exist"
        if job.state not in FINAL:
            return f"job {job_id} has not ended"
        own = job.owner_id == self._owner_id if self._right.own else self._right.takes(job.group)
        return "" if own else f"job {job_id} is not yours"

    def check(self, did: Did, storage: str, path: str) -> None:
        """Raise BadCatalogueField for a path that this user may not name."""
        parts = path.split("/")
        if parts[0] != self._community or (str(did), storage, path) in self._known:
            return
        head = self._community
        if len(parts) == 1:
            raise BadCatalogueField(FIELD, path, f"a path below {head}/, which is a folder")
        if parts[1] == PUT_FOLDER and len(parts) < _PUT_PARTS:
            right = f"a path like {head}/{PUT_FOLDER}/FOLDER/NAME, as `data put` uses"
            raise BadCatalogueField(FIELD, path, right)
        if parts[1] != self._store.generation[:GENERATION_SHOWN]:
            return
        if len(parts) <= _ATTEMPT_PARTS or _is_transfer(parts[2]):
            raise BadCatalogueField(FIELD, path, "a path outside the folders in which jobs store")
        job_id = self._job_of(path)
        why = self._whys.get(job_id, "") if job_id is not None else ""
        if why:
            right = f"another path: {why}; only the owner of an ended job may register its files"
            raise BadCatalogueField(FIELD, path, right)

    def _job_of(self, path: str) -> int | None:
        """Return the job whose folders contain a path, or None."""
        parts = path.split("/")
        own = [self._community, self._store.generation[:GENERATION_SHOWN]]
        if len(parts) <= _ATTEMPT_PARTS or parts[:2] != own:
            return None
        job, is_number = parts[2], parts[2].isascii() and parts[2].isdecimal()
        return int(job) if is_number and len(job) <= 18 and str(int(job)) == job else None
