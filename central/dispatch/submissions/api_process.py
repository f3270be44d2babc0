"""Submissions and calls of attempts in an API process, which accepts jobs but has no queue."""

from typing import Final

from pilotage.proto.job_states import FINAL

from ...identity.callers import AttemptCaller
from ...identity.record_types import Holder
from ...identity.scope import Owners
from ...jobs import record as job_records, record_submissions as submission_records
from ...jobs.attempt_callers import over
from ...store.engine import Store
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


class StoredAttempts:
    """Knows the attempts that may call, from the store: their leases are in another process."""

    def __init__(self, store: Store, owners: Owners) -> None:
        self._store, self._owners = store, owners

    async def holder(self, caller: AttemptCaller) -> Holder:
        """Return who holds the files of an attempt. Raises Refused if it is over."""
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
        await self._owners.meet([kind.owner_id])
        return self._owners.holder(kind.community, kind.group, kind.owner_id)
