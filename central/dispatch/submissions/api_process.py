"""What differs in a process that takes jobs in beside the one that keeps the queue."""

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

CLASSES_MAX: Final = 20_000  # that are remembered, so that they are not looked up for each job


class ApiSubmissions(Submissions):
    """Takes jobs in for the one that keeps the queue: it learns of them from the store."""

    async def _prepare(self, maker: RowMaker) -> None:
        """Remember new classes; nobody is matched here."""
        if len(self._queue.classes) + len(maker.fresh) > CLASSES_MAX:
            self.forget_classes()
        for info in maker.fresh:
            self._classes.keep(info)
            self._queue.learn(info)

    def forget_classes(self) -> None:
        """Forget all: whether jobs of a class are left is not known here.

        They are read again for whoever asks. Not to be done often: until then new ones are counted
        for each owner, as where the queue is.
        """
        for info in list(self._queue.classes.values()):
            self._classes.forget(info)
        self._queue.classes.clear()


def left_to_the_leader(_: ArrivedJobs) -> None:
    """The jobs are durable, and the store has told the process that keeps the queue."""


class ApiSandbox(Sandbox):
    """Blobs for attempts whose leases are another process's."""

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
            # Of one that was closed, as by a hold, the job goes on and the attempt does not.
            or standing.attempt_id != caller.attempt_id
        ):
            raise over(caller)
        (kind,) = await self._store.read(submission_records.classes_given, [standing.class_id])
        await self._memory.owners.meet([kind.owner_id])
        return self._memory.owners.holder(kind.community, kind.group, kind.owner_id)
