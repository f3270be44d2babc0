"""The credentials of attempts for storages, which the central gives when they are needed.

They are in the memory of this process only, and are fetched again at three quarters of their lives.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Union

from pilotage.proto.messages import Assignment
from pilotage.proto.storages import (
    TOKEN_PATHS_MAX,
    StorageOperation,
    StorageTokenReply,
    StorageTokenRequest,
)

from ..mind.pace import FailedRequest
from ..ports import Clock
from .stage_in import NotSent
from .storages import Credential, StorageUnavailable

USED_PART: Final = 0.75  # of its life

# Asks the central with the token of an attempt.
Ask = Callable[[StorageTokenRequest, str], Awaitable[Union[StorageTokenReply, FailedRequest]]]


class CentralAway(StorageUnavailable):
    """The central gives no credential now, so nothing was sent to the storage."""

    is_sent = False


@dataclass(frozen=True)
class _Kept:
    credential: Credential
    until: float  # on the pilot's clock
    paths: frozenset[str]


class StorageCredentials:
    """Fetches credentials and keeps them while their attempts need them."""

    def __init__(self, ask: Ask, clock: Clock, may_pass: Callable[[int], bool]) -> None:
        """`may_pass` tells whether a status of the central may change by itself."""
        self._ask, self._clock, self._may_pass = ask, clock, may_pass
        self._kept: dict[int, dict[tuple[str, StorageOperation], _Kept]] = {}

    async def reading(
        self, assignment: Assignment, storage: str, path: str, *, is_again: bool = False
    ) -> Credential:
        """Return a credential to read a file. Raises CentralAway, NotSent.

        It is for all inputs of the attempt on this storage, if they are few. `is_again` fetches a
        new one in place of one that was rejected.
        """
        inputs = assignment.data.inputs if assignment.data is not None else ()
        paths = [copy.path for one in inputs for copy in one.copies if copy.storage == storage]
        first = paths.index(path) // TOKEN_PATHS_MAX * TOKEN_PATHS_MAX
        some = paths[first : first + TOKEN_PATHS_MAX]
        return await self._get(assignment, storage, StorageOperation.READ, some, "", is_again)

    async def creating(
        self,
        assignment: Assignment,
        storage: str,
        path: str,
        sha256: str,
        *,
        is_again: bool = False,
    ) -> Credential:
        """Return a credential to create a file. Raises CentralAway, NotSent.

        `sha256` is that of the file, for storages with signed URLs; else empty.
        """
        operation = StorageOperation.CREATE
        return await self._get(assignment, storage, operation, [path], sha256, is_again)

    def forget(self, attempt_id: int) -> None:
        """Drop the credentials of an attempt."""
        self._kept.pop(attempt_id, None)

    def secrets(self) -> Iterator[str]:
        """Yield the words that no log may contain."""
        for of_attempt in self._kept.values():
            for kept in of_attempt.values():
                yield kept.credential.token
                yield from kept.credential.urls.values()

    async def _get(
        self,
        assignment: Assignment,
        storage: str,
        operation: StorageOperation,
        paths: Sequence[str],
        sha256: str,
        is_again: bool,
    ) -> Credential:
        kept = self._kept.setdefault(assignment.attempt_id, {})
        known = kept.get((storage, operation))
        if known is not None and not is_again and self._clock.now() < known.until:
            # A token to create is for the whole folder of the attempt.
            is_folder = operation is StorageOperation.CREATE and not known.credential.urls
            if is_folder or known.paths.issuperset(paths):
                return known.credential
        request = StorageTokenRequest(
            assignment.job, assignment.epoch, storage, operation, tuple(paths), sha256
        )
        asked_at = self._clock.now()
        reply = await self._ask(request, assignment.token)
        if isinstance(reply, FailedRequest):
            why = f"the central gives no credential: {reply.message or reply.text()}"
            raise CentralAway(why) if self._may_pass(reply.status) else NotSent(why)
        made = Credential(reply.token, {(one.method, one.path): one.url for one in reply.urls})
        until = asked_at + USED_PART * reply.expires_in_s
        kept[storage, operation] = _Kept(made, until, frozenset(paths))
        return made
