"""Runs verbs on an open store. It has no code for a subject.

A verb is a function whose first argument is a `Session`. Each subject has its verbs in its record.
`write` runs one in a transaction of the only writer; its call returns when that is synced to disk.
Several calls share a transaction (group commit), and one that fails leaves the others alone. `read`
runs one on a connection beside the writer: all its statements see the same moment. Verbs take
batches. Compare-and-set verbs return one bool for each item: False means that the row had changed,
and nothing was written for it.
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
    """How much was written since the store was opened."""

    operations: int = 0
    commits: int = 0


CHUNK_MAX: Final = 1000  # the most rows of a transaction of a bulk: others wait for one at most

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_weights: Final[dict[object, Callable[..., int]]] = {}
_long: Final[set[object]] = set()
_joints: Final[dict[object, Callable[..., JointOperation]]] = {}


def weighs(rows: int | Callable[..., int]) -> Callable[[F], F]:
    """Declare how many rows a verb writes: a number for each item of its arguments, or a function.

    The function is given the arguments of a call.

    Without it a verb writes one row, or as many as its arguments have items.
    """

    weight = _each(rows) if isinstance(rows, int) else rows

    def mark(verb: F) -> F:
        _weights[verb] = weight
        return verb

    return mark


def takes_long(verb: F) -> F:
    """Mark a verb that may read for seconds: half of the readers never run such verbs."""
    _long.add(verb)
    return verb


def joined_by(joint: Callable[..., JointOperation]) -> Callable[[F], F]:
    """Let the writer join neighbouring calls of a verb. `joint` takes the arguments of one call."""

    def mark(verb: F) -> F:
        _joints[verb] = joint
        return verb

    return mark


class Store:
    """One open store."""

    def __init__(self, writer: Writer[Session], readers: Readers, generation: str) -> None:
        """`generation` is the identity of the store's past: another one after a restore."""
        self._writer, self._readers = writer, readers
        self._long_reads = asyncio.Semaphore(READERS // 2)
        self.generation: Final = generation

    async def write(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        """Run a verb in a transaction; return its result when that is synced to disk.

        A verb that only reads sees all writes that were called before. Raises what the verb
        raises, StoreFull or StoreBroken: nothing was stored then; StoreBroken ends the process.
        """
        joint = _joints.get(verb)
        call = _Call(verb, args, named) if joint is None else joint(*args, **named)
        return await self._writer.run(call, rows=_weights.get(verb, _items)(*args, **named))

    async def read(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        """Run a verb that only reads, at one moment. Raises what the verb raises, and StoreError.

        Writes that were answered before are seen; those under way may be or not.
        """
        call = _Call(verb, args, named)
        if verb not in _long:
            return await self._readers.run(call)
        async with self._long_reads:
            return await self._readers.run(call)

    def activity(self) -> Activity:
        """Return how much was written since the store was opened."""
        return Activity(operations=self._writer.operations, commits=self._writer.commits)

    async def hint(self, within_s: float) -> None:
        """Return when another process says that it has stored jobs, or after so many seconds.

        A hint may be missed, or come without new jobs. A store of one process has none.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await asyncio.Event().wait()

    async def close(self) -> None:
        """Finish what is queued, then close."""
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
    """Return how many items the arguments have, or how many they allow; at least 1."""
    limit = named.get("limit")
    items = limit if isinstance(limit, int) else 0
    for one in (*args, *named.values()):
        if isinstance(one, (list, tuple, dict, set, frozenset)):
            items += len(cast(Sized, one))
    return max(1, items)
