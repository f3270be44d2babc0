"""Actions under way, and those of before by their keys: none is done twice, none is half done.

What has been done is kept in the same transaction as what it does to jobs. So a request that comes
again, by whatever way and however late, is answered as the first time; one that a failure has ended
in the middle goes on where it was.
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
    """Why nothing of an action was done."""

    code: str
    message: str
    field: str = ""


class ActionProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an action is; the first `position` of `total` jobs are done, but for `left`."""

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
    """One action: which jobs are still to be done, and what became of the others."""

    def __init__(self, name: ActionKey | None, body_hash: str, at: float) -> None:
        self.is_new, self.is_kept = True, False  # `is_kept`: as complete
        self.done = self.unchanged = 0
        self.refused: list[ActionRefusal] = []
        self.left: dict[int, None] = {}  # of those that were taken up
        self.ids: Sequence[int] = ()
        self._name, self._body_hash, self._at = name, body_hash, at
        self.total = self._position = 0  # of `ids`: how many, and how many were taken up
        self._no: ActionDenial | None = None

    # -- how it begins ---------------------------------------------------------------------------

    def begin(self, ids: Sequence[int]) -> None:
        """These are the jobs, each once."""
        self.ids, self.total = ids, len(ids)

    def go_on(self, row: ActionRow, given: Sequence[int]) -> None:
        """Take up what was kept; `given` are the ids that the request names."""
        was = msgspec.json.decode(row.progress, type=ActionProgress)
        self.is_new, self.is_kept = False, row.complete
        self._at = row.at
        self.done, self.unchanged, self._no = was.done, was.unchanged, was.no
        self.refused, self.left = list(was.refused), dict.fromkeys(was.left)
        self.total, self._position = was.total, was.position
        self.ids = unpacked(row.ids) if row.ids is not None else given

    # -- which jobs ------------------------------------------------------------------------------

    def more(self) -> bool:
        """Take up the next jobs, unless some are left; False: there are no more."""
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
        """The job is as it should be."""
        del self.left[job]
        self.unchanged += 1

    def keep(self, jobs: Sequence[int]) -> Keep | None:
        """Return what the store is to keep together with a write of these jobs."""
        if self._name is None:
            return None
        now = self._progress()

        def row(won: list[bool]) -> ActionRow:
            return self._row(_after(now, jobs, won))

        return row

    def written(self, jobs: Sequence[int], won: Sequence[bool]) -> None:
        """These have been written, or had changed under our hands and are still to be done."""
        now = _after(self._progress(), jobs, won)
        self.done, self.left = now.done, dict.fromkeys(now.left)
        self.is_kept = self._name is not None and now.is_complete

    # -- how it ends -----------------------------------------------------------------------------

    def reply(self) -> ActionReply:
        """Return the answer. Raises Refused where nothing was done."""
        if self._no is not None:
            raise Refused(Code(self._no.code), self._no.message, field=self._no.field)
        return ActionReply(done=self.done, unchanged=self.unchanged, refused=self.refused)

    async def close(self, store: Store) -> None:
        """Keep the answer, unless it was kept with the last jobs."""
        if self._name is not None and not self.is_kept:
            await store.write(action_records.keep_action, self._row(self._progress()))

    async def deny(self, store: Store, why: Refused) -> None:
        """Nothing is to be done, now and when the request comes again."""
        self._no = ActionDenial(why.code.value, why.message, why.field)
        await self.close(store)

    async def keep_ids(self, store: Store) -> None:
        """Keep what a filter has chosen, where it takes more than one write: it may choose others
        later on."""
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
    """Opens a book for each action, one at a time for each key."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._open: dict[ActionKey, asyncio.Event] = {}

    @asynccontextmanager
    async def book(self, caller: User, action: Action) -> AsyncGenerator[ActionBook]:
        """Open the book of an action; while it is open another copy of the action waits.

        Raises KeyReused.
        """
        body_hash, at = hashlib.sha256(_encode(action)).hexdigest(), self._clock.wall()
        if not action.key:
            yield ActionBook(None, body_hash, at)
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
    """Return the ids that an action names, each once."""
    return list(dict.fromkeys(action.ids))


def packed(ids: Sequence[int]) -> bytes:
    """Return ids as few bytes where they lie close together."""
    steps = [b - a for a, b in pairwise((0, *ids))]
    return zlib.compress(_encode(steps), level=1)


def unpacked(content: bytes) -> list[int]:
    """Return what `packed` has packed."""
    return list(accumulate(msgspec.json.decode(zlib.decompress(content), type=list[int])))


def _after(now: ActionProgress, jobs: Sequence[int], won: Sequence[bool]) -> ActionProgress:
    """Return the progress once a write of `jobs` has won or lost each of them."""
    gone = {job for job, written in zip(jobs, won, strict=True) if written}
    return msgspec.structs.replace(
        now,
        done=now.done + len(gone),
        left=tuple(job for job in now.left if job not in gone),
    )
