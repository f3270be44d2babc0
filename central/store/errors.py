"""What can go wrong in the store, and what the caller should do.

Those that a peer should hear of are refusals as well: services let them through.
"""

from typing import Final

from pilotage.proto.problems import Code

from ..errors import DependencyUnavailable, Refused


class StoreError(Exception):
    """Base of all.

    One that is none of OF_ALL is about what the call wanted, and nothing of it was stored: a loop
    puts that one thing aside and goes on with the others.
    """


class StoreFull(Refused, StoreError):
    """No space is left. Nothing of the call was stored; try again when there is."""

    def __init__(self, why: str) -> None:
        super().__init__(Code.STORE_FULL, f"the store takes nothing more: {why}")


class ReserveReached(StoreFull):
    """What is left of the disk is kept for reports. The store was not asked: it is not in doubt."""


_WAYS: Final = {
    "jobs": "wait until some have ended, kill some, or ask an operator for a larger quota",
    "bytes": (
        "delete jobs whose files you do not need, or ask an operator for a larger quota; files"
        " of a deleted job count until `retention.deleted_days` after its end"
    ),
}


class OverQuota(Refused, StoreError):
    """A request would use more than an owner, group or community may. Nothing was stored."""

    def __init__(
        self, what: str, *, kind: str, community: str, name: str, used: int, limit: int, more: int
    ) -> None:
        whose = f"{kind} {name!r} of community {community!r}" if name else f"{kind} {community!r}"
        unit = "unended jobs" if what == "jobs" else "bytes"
        super().__init__(
            Code.OVER_QUOTA,
            f"{whose} has {used} of {limit} {unit}, and this adds at least {more}: {_WAYS[what]}",
        )
        self.room = max(0, limit - used)


class StoreBroken(DependencyUnavailable, StoreError):
    """After this failure of a write memory and disk may differ: the process must end.

    Of a read it says that the database was not there: nothing is to be done but to read again.
    """


class StoreLate(StoreBroken):
    """The database ended a statement that took too long: it is there, so ask again."""


class NotLeader(StoreBroken):
    """Another process leads, or nobody: nothing was written. The process must end."""

    def __init__(self, holder: str, term: int) -> None:
        super().__init__(f"{holder} does not lead with term {term}: the row is another's")


OF_ALL: Final = (StoreFull, StoreBroken)  # of whatever is written next, too


class KeyReused(Refused, StoreError):
    """The idempotency key is known with another body."""

    def __init__(self, key: str, what: str = "submission") -> None:
        message = f"key {key!r} was used before for another {what}: take a new key"
        super().__init__(Code.KEY_REUSED, message, field="key")


class StillArriving(Refused, StoreError):
    """A submission of this key is being taken in: wait until it is there, or gone."""

    def __init__(self, submission_id: int, key: str) -> None:
        message = f"a submission with key {key!r} is being taken in: repeat this one in a while"
        super().__init__(Code.UNAVAILABLE, message, field="key")
        self.submission_id = submission_id


class SubmissionDropped(Refused, StoreError):
    """An unfinished submission takes no more: it is gone, or was complete before."""

    def __init__(self, submission_id: int) -> None:
        message = f"submission {submission_id} was dropped before it was whole: send it again"
        super().__init__(Code.UNAVAILABLE, message)


class JobNotFound(Refused, StoreError):
    """No such job, or not for this caller."""

    def __init__(self, job_id: int) -> None:
        super().__init__(Code.NOT_FOUND, f"there is no job {job_id}", field="id")


class PilotNotFound(Refused, StoreError):
    """No such pilot, or not for this caller."""

    def __init__(self, pilot: str) -> None:
        super().__init__(Code.NOT_FOUND, f"there is no pilot {pilot!r}", field="pilot")


class BadSecret(Refused, StoreError):
    """Unknown, expired, or used with another nonce: one message for all three."""

    def __init__(self) -> None:
        message = "this bootstrap secret is unknown, expired or used"
        super().__init__(Code.BAD_TOKEN, message, field="secret")


class NotMadeYet(StoreError):
    """The tables are not there, or of an older pilotage: who keeps the queue makes them."""

    def __init__(self) -> None:
        super().__init__(
            "the store has no tables of this version yet: a process with the role dispatch makes "
            "them when it starts"
        )


class WrongRelease(StoreError):
    """This pilotage must not write to the store: another release has to be installed."""


class NewerSchema(WrongRelease):
    """The store was written by a newer pilotage."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the store has schema {found}, this pilotage knows up to {known}: install a newer one"
        )


class MigrationChanged(WrongRelease):
    """A step of the schema that has run reads differently now. Install the right pilotage."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(
            f"migration {number} ({name}) was changed after this store had run it: "
            "install the pilotage that made the store, or one released after it"
        )
