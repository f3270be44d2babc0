"""Errors of the store, and what the caller should do.

Errors that a client should see are refusals as well, and services let them through.
"""

from typing import Final

from pilotage.proto.problems import Code

from ..errors import DependencyUnavailable, Refused


class StoreError(Exception):
    """Base of all errors of the store.

    An error outside OF_ALL concerns this call only, and nothing of it was stored. A loop puts that
    item aside and continues with the others.
    """


class StoreFull(Refused, StoreError):
    """The disk is full. Nothing of the call was stored; try again when there is space."""

    def __init__(self, why: str) -> None:
        super().__init__(Code.STORE_FULL, f"the store has no space: {why}")


class ReserveReached(StoreFull):
    """The rest of the disk is reserved for reports. The store was not asked, and is in order."""


_WAYS: Final = {
    "jobs": "wait until some have ended, kill some, or ask an operator for a larger quota",
    "bytes": (
        "delete jobs whose files you do not need, or ask an operator for a larger quota; files"
        " of a deleted job count until `retention.deleted_days` after its end"
    ),
}


class OverQuota(Refused, StoreError):
    """A request would exceed the quota of an owner, group or community. Nothing was stored."""

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
    """Memory and disk may differ after a failed write, so the process must end.

    After a failed read it means that the database was unreachable: read again.
    """


class StoreLate(StoreBroken):
    """The database cancelled a statement that took too long. It is reachable: try again."""


class NotLeader(StoreBroken):
    """Another process leads, or none. Nothing was written. The process must end."""

    def __init__(self, holder: str, term: int) -> None:
        super().__init__(f"{holder} no longer leads with term {term}: the leader row has changed")


OF_ALL: Final = (StoreFull, StoreBroken)  # errors that further writes would meet too


class KeyReused(Refused, StoreError):
    """The idempotency key was used with another body."""

    def __init__(self, key: str, what: str = "submission") -> None:
        message = f"key {key!r} was used before for another {what}; use a new key"
        super().__init__(Code.KEY_REUSED, message, field="key")


class StillArriving(Refused, StoreError):
    """A submission with this key is still arriving: wait until it is complete or dropped."""

    def __init__(self, submission_id: int, key: str) -> None:
        message = f"a submission with key {key!r} is still arriving; try again in a moment"
        super().__init__(Code.UNAVAILABLE, message, field="key")
        self.submission_id = submission_id


class SubmissionDropped(Refused, StoreError):
    """An unfinished submission accepts no more jobs: it was dropped, or completed before."""

    def __init__(self, submission_id: int) -> None:
        message = f"submission {submission_id} was dropped before it was complete; send it again"
        super().__init__(Code.UNAVAILABLE, message)


class JobNotFound(Refused, StoreError):
    """The job does not exist, or the caller may not see it."""

    def __init__(self, job_id: int) -> None:
        super().__init__(Code.NOT_FOUND, f"there is no job {job_id}", field="id")


class PilotNotFound(Refused, StoreError):
    """The pilot does not exist, or the caller may not see it."""

    def __init__(self, pilot: str) -> None:
        super().__init__(Code.NOT_FOUND, f"there is no pilot {pilot!r}", field="pilot")


class BadSecret(Refused, StoreError):
    """The secret is unknown, expired, or used with another nonce: one message for all three."""

    def __init__(self) -> None:
        message = "this bootstrap secret is unknown, expired or used; get a new one"
        super().__init__(Code.BAD_TOKEN, message, field="secret")


class NotMadeYet(StoreError):
    """The tables are missing or have an older schema. The leader makes them."""

    def __init__(self) -> None:
        super().__init__(
            "the store has no tables of this version yet; start a process with the role dispatch, "
            "which makes them"
        )


class WrongRelease(StoreError):
    """This release must not write to the store: install another one."""


class NewerSchema(WrongRelease):
    """A newer release wrote the store."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the store has schema {found}, but this release knows schemas up to {known}: install "
            "a newer release"
        )


class MigrationChanged(WrongRelease):
    """A migration that has run has another text now. Install the right release."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(
            f"migration {number} ({name}) has changed since this store ran it: install the "
            "release that made the store, or a later one"
        )
