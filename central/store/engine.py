"""Runs verbs on an open store. It knows no subject.

A verb is a function whose first argument is a `Session`. Each subject has its verbs in its record.

- `write` runs a verb in a transaction of the only writer, and returns when that is synced to disk.
  Several calls share a transaction (group commit); a call that fails does not affect the others.
- `read` runs a verb on another connection. All its statements see one snapshot.

Verbs take batches. Compare-and-set verbs return one bool for each item: False means that the row
had changed, and nothing was written for the item.
"""

import asyncio
from collections.abc import Callable, Mapping, Sized
from contextlib import suppress
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from .readers import READERS, Readers
from .records import Record
from .session import Session
from .writer import JointOperation, Writer


class Activity(Record, frozen=True):
    """The numbers of writes since the store was opened."""

    operations: int = 0
    commits: int = 0


CHUNK_MAX: Final = 1000  # most rows in one transaction of bulk work, so that others wait briefly

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_weights: Final[dict[object, Callable[..., int]]] = {}
_long: Final[set[object]] = set()
_joints: Final[dict[object, Callable[..., JointOperation]]] = {}


def weighs(rows: int | Callable[..., int]) -> Callable[[F], F]:
    """Declare the number of rows that a verb writes.

    A number counts for each item of its arguments. A function receives the arguments of a call.
    Without this mark, a verb counts one row for each item of its arguments, at least one.
    """

    weight = _each(rows) if isinstance(rows, int) else rows

    def mark(verb: F) -> F:
        _weights[verb] = weight
        return verb

    return mark


def takes_long(verb: F) -> F:
    """Mark a verb that may read for seconds. Such verbs use at most half of the readers."""
    _long.add(verb)
    return verb


def joined_by(joint: Callable[..., JointOperation]) -> Callable[[F], F]:
    """Let the writer join neighbouring calls of a verb. `joint` receives a call's arguments."""

    def mark(verb: F) -> F:
        _joints[verb] = joint
        return verb

    return mark


class Store:
    """One open store."""

    def __init__(self, writer: Writer[Session], readers: Readers, generation: str) -> None:
        """`generation` identifies the store's past; a restore changes it."""
        self._writer, self._readers = writer, readers
        self._long_reads = asyncio.Semaphore(READERS // 2)
        self.generation: Final = generation

    async def write(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        """Run a verb in a transaction, and return its result when that is synced to disk.

        Even a verb that only reads sees all earlier writes. Raises the verb's exceptions, StoreFull
        or StoreBroken; nothing was stored then. StoreBroken ends the process.
        """
        joint = _joints.get(verb)
        call = _Call(verb, args, named) if joint is None else joint(*args, **named)
        return await self._writer.run(call, rows=_weights.get(verb, _items)(*args, **named))

    async def read(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        """Run a verb that only reads, on one snapshot. Raises its exceptions, and StoreError.

        It sees all writes that have returned, and may see those still running.
        """
        call = _Call(verb, args, named)
        if verb not in _long:
            return await self._readers.run(call)
        async with self._long_reads:
            return await self._readers.run(call)

    def activity(self) -> Activity:
        """Return the numbers of writes since the store was opened."""
        return Activity(operations=self._writer.operations, commits=self._writer.commits)

    async def hint(self, within_s: float) -> None:
        """Return when another process signals new jobs, or after `within_s` seconds.

        A signal may be missed, or come without new jobs. A store of one process gives none.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await asyncio.Event().wait()

    async def close(self) -> None:
        """Finish the queued operations, then close."""
        await self._writer.close()
        await asyncio.to_thread(self._readers.close)


class _Call:
    """A verb with its arguments."""

    __slots__ = ("_args", "_named", "_verb")

    def __init__(
        self, verb: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]
    ) -> None:
        self._verb, self._args, self._named = verb, args, named

    def __call__(self, session: Session) -> Any:
        return self._verb(session, *self._args, **self._named)


def _each(rows: int) -> Callable[..., int]:
    def weight(*args: object, **named: object) -> int:
        return rows * _items(*args, **named)

    return weight


def _items(*args: object, **named: object) -> int:
    """Return the number of items in the arguments, or their limit; at least 1."""
    limit = named.get("limit")
    items = limit if isinstance(limit, int) else 0
    for one in (*args, *named.values()):
        if isinstance(one, (list, tuple, dict, set, frozenset)):
            items += len(cast(Sized, one))
    return max(1, items)
