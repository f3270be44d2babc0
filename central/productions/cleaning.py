"""Cleans productions: kills their jobs, then removes their files from the catalogue."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final

from pilotage.proto.api.jobs import Action as JobAction, ActionName
from pilotage.proto.catalogue import Did, FileState
from pilotage.proto.claims import Role
from pilotage.proto.limits import OUTPUTS_MAX
from pilotage.proto.transformation_states import TaskState, TransformationState

from ..catalogue import record_files as file_records, record_read as catalogue_read
from ..identity.callers import User
from ..ports import Clock
from ..store.engine import Store
from ..transformations import record as transformation_records
from ..transformations.reuse import record as reuse_records
from .record import ProductionRow, StepRow

KILLED: Final = 400  # jobs that are killed at once
LOOKED_AT: Final = 1_000  # jobs whose files are read at once, unless they are too many
JOBS: Final = 100  # then the files of this many are
FILES_MAX: Final = JOBS * OUTPUTS_MAX  # the most files that this number of jobs has made
TOGETHER: Final = 250  # files of one transaction, so that other writers do not wait long
FAR: Final = 32_503_680_000.0  # the year 3000: nothing checks this expiry

ActOnJobs = Callable[[User, JobAction], Awaitable[object]]


class Cleaning:
    """Cleans in slices: other productions get their turn in between.

    After an interruption it begins again and finds the rest.
    """

    def __init__(self, *, store: Store, catalogue: Store, act: ActOnJobs) -> None:
        self._store, self._catalogue, self._act = store, catalogue, act

    async def kill(self, row: ProductionRow, steps: Sequence[StepRow]) -> AsyncGenerator[int]:
        """Kill the unfinished jobs, last steps first; yield the number after each slice.

        No new tasks are made, because all steps are Cleaning.
        """
        reason = f"production {row.name} is cleaned"
        for one in reversed(steps):
            if one.row.state is TransformationState.CLEANING:
                async for jobs in self._jobs(one, [TaskState.CREATED], KILLED):
                    kill = JobAction(action=ActionName.KILL, ids=jobs, reason=reason)
                    await self._act(_caller(row), kill)
                    yield len(jobs)

    async def remove(
        self, row: ProductionRow, steps: Sequence[StepRow], clock: Clock
    ) -> AsyncGenerator[int]:
        """Remove the files of jobs from the catalogue; yield the number after each slice.

        Files that another production reuses stay.
        """
        ids = [one.row.transformation_id for one in steps]
        for one in reversed(steps):
            async for jobs in self._jobs(one, (), LOOKED_AT):
                others = await self._store.read(reuse_records.jobs_of_others, jobs, ids)
                async for there in self._files([job for job in jobs if job not in others]):
                    yield 0
                    for first in range(0, len(there), TOGETHER):
                        some = there[first : first + TOGETHER]
                        done = await self._catalogue.write(
                            file_records.remove_files, row.community, some, at=clock.wall()
                        )
                        yield sum(outcome.changed for outcome in done)

    async def _files(self, jobs: Sequence[int]) -> AsyncGenerator[list[Did]]:
        """Yield the names of files that jobs have made, without removed ones."""
        files = await self._catalogue.read(catalogue_read.files_of_jobs, jobs, limit=FILES_MAX)
        if len(files) == FILES_MAX and len(jobs) > JOBS:  # there may be more
            for first in range(0, len(jobs), JOBS):
                async for some in self._files(jobs[first : first + JOBS]):
                    yield some
            return
        yield [file.did for file in files if file.state is not FileState.REMOVED]

    async def _jobs(
        self, one: StepRow, states: Sequence[TaskState], size: int
    ) -> AsyncGenerator[tuple[int, ...]]:
        after = 0
        while True:
            tasks = await self._store.read(
                transformation_records.tasks,
                one.row.transformation_id,
                states=states,
                after=after,
                limit=size,
            )
            if tasks:
                yield tuple(task.job_id for task in tasks)
            if len(tasks) < size:
                return
            after = tasks[-1].number


def _caller(row: ProductionRow) -> User:
    """Return the user that is recorded as the killer of the jobs."""
    return User(
        issuer="central",
        subject=f"production {row.name}",
        name="",
        community=row.community,
        groups=(row.group,),
        role=Role.ADMIN,
        expires_at=FAR,
        jti="",
    )
