"""Finds the leases of the attempts that ask for files, credentials and tokens."""

from collections.abc import Mapping
from typing import Protocol

from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import AttemptCaller
from ..identity.record_types import Holder
from ..identity.scope import Owners
from ..ports import Leadership
from .classes import KnownClass
from .leases import Lease, LeasePhase, LeaseTable


class ActiveClasses(Protocol):
    """The classes of waiting and running jobs, by id."""

    @property
    def classes(self) -> Mapping[int, KnownClass]: ...


class CallerMemory(Protocol):
    """The tables in memory that this module uses."""

    @property
    def leases(self) -> LeaseTable: ...
    @property
    def queue(self) -> ActiveClasses: ...

    @property
    def owners(self) -> Owners: ...


class AttemptCallers:
    """Knows the attempts that may call, from the leases in memory."""

    def __init__(self, memory: CallerMemory, leadership: Leadership) -> None:
        self._memory, self._leadership = memory, leadership

    def lease(self, caller: AttemptCaller) -> Lease:
        """Return the lease of an attempt.

        Raises Refused: FORBIDDEN (its result can no longer count), or NOT_LEADER (this process
        cannot know, because another may lead by now).
        """
        lease = self._memory.leases.find(caller.job, caller.epoch)
        # After a restore of the store, another attempt can have the same job and epoch.
        if lease is not None and lease.attempt_id == caller.attempt_id:
            return lease
        raise self._unknown(caller)

    def live_lease(self, caller: AttemptCaller) -> Lease:
        """Return the lease of an attempt that runs. Raises as `lease` does."""
        lease = self.lease(caller)
        if lease.phase is not LeasePhase.LIVE:
            raise self._unknown(caller)
        return lease

    async def holder(self, caller: AttemptCaller) -> Holder:
        """Return who holds the files of an attempt. Raises as `lease` does."""
        return self.holder_of(self.lease(caller))

    def holder_of(self, lease: Lease) -> Holder:
        """Return who holds the files of the attempt with this lease."""
        info = self._memory.queue.classes[lease.class_id]
        kind = info.kind
        return self._memory.owners.holder(kind.community, kind.group, info.owner_id)

    def _unknown(self, caller: AttemptCaller) -> Refused:
        """Return why an attempt has no lease. A leader that stood still knows no newer ones."""
        if not self._leadership.leads:
            return Refused(Code.NOT_LEADER, "this process is no longer the leader")
        return over(caller)


def over(caller: AttemptCaller) -> Refused:
    """Return the refusal for an attempt that is over."""
    return Refused(Code.FORBIDDEN, f"attempt {caller.epoch} of job {caller.job} is over")
