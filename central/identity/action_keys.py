"""Actions in progress and earlier ones, found by their keys, so that each is done exactly once.

The progress of an action is written in the same transaction as its changes to jobs. A repeated
request therefore gets the first answer, however late it comes. If a failure interrupted the action,
the repeated request continues it.
"""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import accumulate, pairwise

import msgspec

from pilotage.proto.api.jobs import Action, ActionRefusal, ActionReply
from pilotage.proto.problems import Code

from ..errors import Refused
from ..ports import Clock
from ..store.engine import CHUNK_MAX, Store
from ..store.errors import KeyReused
from . import actions as action_records
from .actions import ActionKey, ActionRow, Keep
from .callers import User

REFUSED_MAX = 1_000  # jobs that an answer names

_encode = msgspec.json.encode


class ActionDenial(msgspec.Struct, frozen=True):
    """The refusal of a whole action."""

    code: str
    message: str
    field: str = ""


class ActionProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    """The progress of an action. The first `position` of `total` jobs are done, except `left`."""

    total: int
    position: int = 0
    left: tuple[int, ...] = ()
    done: int = 0
    unchanged: int = 0
    refused: tuple[ActionRefusal, ...] = ()
    no: ActionDenial | None = None

    @property
    def is_complete(self) -> bool:
        return self.position >= self.total and not self.left


class ActionBook:
    """One action: its remaining jobs, and the outcome for the others."""

    def __init__(
        self, name: ActionKey | None, body_hash: str, at: float, *, is_dry: bool = False
    ) -> None:
        self.is_new, self.is_kept = True, False  # `is_kept`: the store has it as complete
        self.is_dry = is_dry  # nothing is written, but counted as if it were
        self.done = self.unchanged = 0
        self.refused: list[ActionRefusal] = []
        self.left: dict[int, None] = {}  # jobs of the current chunk that are not done
        self.ids: Sequence[int] = ()
        self._name, self._body_hash, self._at = name, body_hash, at
        self.total = self._position = 0  # the number of `ids`, and how many were taken so far
        self._no: ActionDenial | None = None

    # -- begin -----------------------------------------------------------------------------------

    def begin(self, ids: Sequence[int]) -> None:
        """Set the jobs of the action. `ids` has no duplicates."""
        self.ids, self.total = ids, len(ids)

    def go_on(self, row: ActionRow, given: Sequence[int]) -> None:
        """Continue from the stored progress. `given` are the ids that the request names."""
        was = msgspec.json.decode(row.progress, type=ActionProgress)
        self.is_new, self.is_kept = False, row.complete
        self._at = row.at
        self.done, self.unchanged, self._no = was.done, was.unchanged, was.no
        self.refused, self.left = list(was.refused), dict.fromkeys(was.left)
        self.total, self._position = was.total, was.position
        self.ids = unpacked(row.ids) if row.ids is not None else given

    # -- jobs ------------------------------------------------------------------------------------

    def more(self) -> bool:
        """Take the next chunk of jobs if none are left; return False if there are no more."""
        if not self.left and self._position < self.total:
            some = self.ids[self._position : self._position + CHUNK_MAX]
            self.left = dict.fromkeys(some)
            self._position += len(some)
        return bool(self.left)

    def refuse(self, job: int, code: Code, message: str) -> None:
        del self.left[job]
        if len(self.refused) < REFUSED_MAX:
            self.refused.append(ActionRefusal(id=job, code=code.value, message=message))

    def leave(self, job: int) -> None:
        """Count a job that needs no change."""
        del self.left[job]
        self.unchanged += 1

    def keep(self, jobs: Sequence[int]) -> Keep | None:
        """Return the progress to store in the same transaction as the write of these jobs."""
        if self._name is None:
            return None
        now = self._progress()

        def row(won: list[bool]) -> ActionRow:
            return self._row(_after(now, jobs, won))

        return row

    def written(self, jobs: Sequence[int], won: Sequence[bool]) -> None:
        """Note the result of a write. Jobs that had changed were not written and stay left."""
        now = _after(self._progress(), jobs, won)
        self.done, self.left = now.done, dict.fromkeys(now.left)
        self.is_kept = self._name is not None and now.is_complete

    # -- end -------------------------------------------------------------------------------------

    def reply(self) -> ActionReply:
        """Return the answer. Raises Refused if the action was denied."""
        if self._no is not None:
            raise Refused(Code(self._no.code), self._no.message, field=self._no.field)
        return ActionReply(done=self.done, unchanged=self.unchanged, refused=self.refused)

    async def close(self, store: Store) -> None:
        """Store the answer, unless it was stored with the last jobs."""
        if self._name is not None and not self.is_kept:
            await store.write(action_records.keep_action, self._row(self._progress()))

    async def deny(self, store: Store, why: Refused) -> None:
        """Refuse the action, now and each time the request is repeated."""
        self._no = ActionDenial(why.code.value, why.message, why.field)
        await self.close(store)

    async def keep_ids(self, store: Store) -> None:
        """Store the ids that a filter has selected, if they need more than one write.

        The same filter could select other jobs later.
        """
        if self._name is not None and self.total > CHUNK_MAX:
            row = self._row(self._progress())
            await store.write(
                action_records.keep_action, msgspec.structs.replace(row, ids=packed(self.ids))
            )

    def _progress(self) -> ActionProgress:
        return ActionProgress(
            total=self.total,
            position=self._position,
            left=tuple(self.left),
            done=self.done,
            unchanged=self.unchanged,
            refused=tuple(self.refused),
            no=self._no,
        )

    def _row(self, progress: ActionProgress) -> ActionRow:
        assert self._name is not None
        return ActionRow(
            name=self._name,
            body_hash=self._body_hash,
            at=self._at,
            progress=_encode(progress),
            complete=progress.is_complete,
        )


class ActionBooks:
    """Opens a book for each action, only one at a time for each key."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._open: dict[ActionKey, asyncio.Event] = {}

    @asynccontextmanager
    async def book(self, caller: User, action: Action) -> AsyncGenerator[ActionBook]:
        """Open the book of an action. While it is open, a second copy of the action waits.

        Raises KeyReused.
        """
        body_hash, at = hashlib.sha256(_encode(action)).hexdigest(), self._clock.wall()
        if not action.key or action.dry_run:
            yield ActionBook(None, body_hash, at, is_dry=action.dry_run)
            return
        name = ActionKey(caller.community, caller.issuer, caller.subject, action.key)
        while name in self._open:
            await self._open[name].wait()
        done = self._open[name] = asyncio.Event()
        try:
            yield await self._found(name, action, ActionBook(name, body_hash, at), body_hash)
        finally:
            done.set()
            del self._open[name]

    async def _found(
        self, name: ActionKey, action: Action, book: ActionBook, body_hash: str
    ) -> ActionBook:
        known = await self._store.write(action_records.action, name)
        if known is not None:
            if known.body_hash != body_hash:
                raise KeyReused(name.key, "action")
            book.go_on(known, named_in(action))
        return book


def named_in(action: Action) -> list[int]:
    """Return the ids that an action names, without duplicates."""
    return list(dict.fromkeys(action.ids))


def packed(ids: Sequence[int]) -> bytes:
    """Return the ids compressed. Ids that are close together need few bytes."""
    steps = [b - a for a, b in pairwise((0, *ids))]
    return zlib.compress(_encode(steps), level=1)


def unpacked(content: bytes) -> list[int]:
    """Return the ids that `packed` compressed."""
    return list(accumulate(msgspec.json.decode(zlib.decompress(content), type=list[int])))


def _after(now: ActionProgress, jobs: Sequence[int], won: Sequence[bool]) -> ActionProgress:
    """Return the progress after a write of `jobs`. `won` says which of them were written."""
    gone = {job for job, written in zip(jobs, won, strict=True) if written}
    return msgspec.structs.replace(
        now,
        done=now.done + len(gone),
        left=tuple(job for job in now.left if job not in gone),
    )
