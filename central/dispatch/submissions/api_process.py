"""Submissions and sandboxes in an API process, which accepts jobs but has no queue."""

from typing import Final

from pilotage.proto.job_states import FINAL

from ...accounts.disk_room import DiskRoom
from ...accounts.holdings import Holdings
from ...identity.callers import AttemptCaller
from ...identity.record_types import Holder
from ...jobs import record as job_records, record_submissions as submission_records
from ...jobs.blobs.sandbox import Sandbox, over
from ...ports import Blobs
from ...settings import SandboxSettings
from ...store.engine import Store
from ..memory import Memory
from .intake import ArrivedJobs, RowMaker
from .submissions import Submissions

CLASSES_MAX: Final = 20_000  # classes in memory, which save a look-up for each job


class ApiSubmissions(Submissions):
    """Stores submitted jobs. The process with the queue finds them in the store."""

    async def _prepare(self, maker: RowMaker) -> None:
        """Remember new classes. This process has no matcher to prepare."""
        if len(self._queue.classes) + len(maker.fresh) > CLASSES_MAX:
            self.forget_classes()
        for info in maker.fresh:
            self._classes.keep(info)
            self._queue.learn(info)

    def forget_classes(self) -> None:
        """Forget all classes, since this process does not know which of them still have jobs.

        Needed classes are read again. Do not call this often: between two calls, the limit on
        new classes of each owner works as in the process with the queue.
        """
        for info in list(self._queue.classes.values()):
            self._classes.forget(info)
        self._queue.classes.clear()


def left_to_the_leader(_: ArrivedJobs) -> None:
    """Do nothing: the jobs are durable, and the store notifies the process with the queue."""


class ApiSandbox(Sandbox):
    """Blobs for attempts whose leases are in another process."""

    def __init__(
        self,
        blobs: Blobs,
        memory: Memory,
        holdings: Holdings,
        room: DiskRoom,
        settings: SandboxSettings,
        *,
        store: Store,
    ) -> None:
        super().__init__(blobs, memory, holdings, room, settings)
        self._store = store

    async def _attempt_holder(self, caller: AttemptCaller) -> Holder:
        standing = (await self._store.write(job_records.standing, [caller.job])).get(caller.job)
        if (
            standing is None
            or standing.state in FINAL
            or standing.epoch != caller.epoch
            # A closed attempt (after a hold, for example) is over, though its job continues.
            or standing.attempt_id != caller.attempt_id
        ):
            raise over(caller)
        (kind,) = await self._store.read(submission_records.classes_given, [standing.class_id])
        await self._memory.owners.meet([kind.owner_id])
        return self._memory.owners.holder(kind.community, kind.group, kind.owner_id)
