"""One thread that writes, and commits in groups.

There is no timer. The next transaction starts when the last COMMIT has returned, and takes all
operations that were queued during it. If an operation fails, the group is rolled back, and each
operation runs again in a transaction of its own.
"""

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, Final, Generic, TypeVar

from .errors import StoreBroken, StoreError
from .session import Transactions

QUEUE_MAX: Final = 4_096  # waiting and running operations; further callers wait for room
GROUP_ROWS_MAX: Final = 4_000  # the operation that reaches it is the last of its group
TRIES: Final = 20  # of an operation that conflicts with another process
TURN_MAX: Final = 32  # operations handed over before the loop's turn ends

T = TypeVar("T")


S = TypeVar("S", bound=Transactions)


class JointOperation(ABC):
    """An operation that is cheaper together with others of its class."""

    __slots__ = ()

    @abstractmethod
    def __call__(self, session: Any) -> Any:
        """Run the operation alone."""

    @classmethod
    @abstractmethod
    def together(cls, session: Any, several: Any) -> Sequence[Any]:
        """Return the result of each, as if they had run in order. Raises NotJoinable."""


class NotJoinable(StoreError):
    """These operations cannot be joined. Each runs alone, in one further transaction for all."""


class _Operation(Generic[S]):
    """One call that waits for its commit."""

    __slots__ = ("error", "future", "result", "rows", "run")

    def __init__(self, run: Callable[[S], Any], rows: int, future: asyncio.Future[Any]) -> None:
        self.run, self.rows, self.future = run, rows, future
        self.result: Any = None
        self.error: BaseException | None = None


class Writer(Generic[S]):
    """Runs operations on a session, in order and in groups. It belongs to one event loop."""

    def __init__(
        self,
        session: S,
        *,
        fatal: Callable[[str], None],
        afterwards: Callable[[], None] = lambda: None,
        thread_name: str = "store-writer",
        queue_max: int = QUEUE_MAX,
        group_rows_max: int = GROUP_ROWS_MAX,
    ) -> None:
        """`fatal` is called once, on the loop, when the store is broken; the process must end.

        `afterwards` is called on the thread when the answers of a group were sent. It raises
        StoreBroken if memory and disk may differ.
        """
        self._session = session
        self._fatal = fatal
        self._group_rows_max = group_rows_max
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(queue_max)
        # Bounded by the semaphore; the None that ends the thread takes no place.
        self._queue: queue.SimpleQueue[list[_Operation[S]] | None] = queue.SimpleQueue()
        self._turn: list[_Operation[S]] = []  # operations of the loop's present turn
        self._taken: deque[_Operation[S]] = deque()  # taken from the queue by the thread
        self._dead = False
        self._ended = asyncio.Event()
        self._closing = False
        self._broken = ""
        self._afterwards = afterwards
        self.operations = self.commits = 0  # written since the start, for the metrics
        self._thread = threading.Thread(target=self._work, name=thread_name, daemon=True)
        self._thread.start()

    async def run(self, operation: Callable[[S], T], *, rows: int = 1) -> T:
        """Run `operation` in a transaction, and return its result when that is synced to disk.

        Raises the operation's exceptions, StoreFull or StoreBroken; nothing was stored then.
        """
        await self._room.acquire()
        if self._closing or self._broken:
            self._room.release()
            raise StoreBroken(self._broken) if self._broken else StoreError("the store is closed")
        waiting = _Operation(operation, rows, self._loop.create_future())
        self._hand_over(waiting)
        result: T = await waiting.future
        return result

    def _hand_over(self, waiting: _Operation[S]) -> None:
        """Queue an operation together with the others of the loop's turn.

        Waking the thread for the first one would give it a commit of its own, and the thread would
        compete for the interpreter's lock while the loop still creates the others.
        """
        self._turn.append(waiting)
        if len(self._turn) == 1:
            self._loop.call_soon(self._end_turn)
        elif len(self._turn) >= TURN_MAX:
            self._end_turn()

    def _end_turn(self) -> None:
        if self._turn:
            turn, self._turn = self._turn, []
            self._queue.put(turn)
            if self._dead:  # the thread takes no more
                self._resolve(self._refused())

    def _refused(self) -> list[_Operation[S]]:
        """Return the operations in the dead thread's queue, each with its error."""
        group: list[_Operation[S]] = []
        with suppress(queue.Empty):
            while True:
                group += self._queue.get_nowait() or []
        for operation in group:
            operation.error = StoreBroken(self._broken)
        return group

    async def close(self) -> None:
        """Finish the queued operations, then end the thread."""
        if not self._closing:
            self._closing = True
            self._end_turn()
            self._queue.put(None)
        await self._ended.wait()

    # -- on the loop ----------------------------------------------------------------------------

    def _resolve(self, group: list[_Operation[S]]) -> None:
        for operation in group:
            self._room.release()
            if operation.future.done():  # its caller was cancelled
                continue
            if operation.error is not None:
                operation.future.set_exception(operation.error)
            else:
                operation.future.set_result(operation.result)

    def _give_up(self, why: str) -> None:
        self._fatal(why)

    # -- on the thread --------------------------------------------------------------------------

    def _work(self) -> None:
        cleanly = False
        group: list[_Operation[S]] = []
        try:
            going = True
            while going:
                group, going = self._take()
                self._write(group)
                self._loop.call_soon_threadsafe(self._resolve, group)
                group = []
                self._look_after()
            cleanly = True
        finally:
            # A bug, or a closed loop: operations cannot cause this.
            if not cleanly:
                self._abandon(group)
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._ended.set)

    def _take(self) -> tuple[list[_Operation[S]], bool]:
        """Wait for operations. Return a group of them, and whether to continue."""
        group: list[_Operation[S]] = []
        rows = 0
        while rows < self._group_rows_max:
            if not self._taken:
                try:
                    turn = self._queue.get(block=not group)
                except queue.Empty:
                    break
                if turn is None:
                    return group, False
                self._taken.extend(turn)
            operation = self._taken.popleft()
            group.append(operation)
            rows += operation.rows
        return group, True

    def _write(self, group: list[_Operation[S]]) -> None:
        if not group:
            return
        if not self._broken and self._together(group):
            return
        for operation in group:
            if self._broken:
                operation.result, operation.error = None, StoreBroken(self._broken)
            else:
                self._alone(operation)

    def _together(self, group: list[_Operation[S]]) -> bool:
        """Run a group in one transaction. Return False if it was rolled back."""
        try:
            try:
                self._transact(group)
            except NotJoinable as why:
                self._undo(why)
                self._transact(group, joined=False)
        except self._session.faults as why:
            self._undo(why)
            return False
        return True

    def _alone(self, operation: _Operation[S]) -> None:
        for left in reversed(range(TRIES)):
            try:
                self._transact([operation], joined=False)
                return
            except self._session.faults as why:
                self._undo(why)
                if left and not self._broken and self._session.may_pass(why):
                    continue  # it conflicted with another process
                operation.result, operation.error = None, self._session.translated(why)
                return

    def _transact(self, group: list[_Operation[S]], *, joined: bool = True) -> None:
        self._session.begin()
        for kind, alike in groupby(group, _kind):
            some = list(alike)
            if kind is not None and joined:
                results = kind.together(self._session, [one.run for one in some])
                for operation, result in zip(some, results, strict=True):
                    operation.result = result
            else:
                for operation in some:
                    operation.result = operation.run(self._session)
        self._session.commit()
        self.operations += len(group)
        self.commits += 1

    def _undo(self, why: BaseException) -> None:
        """Roll back. Mark the store as broken if it can no longer be trusted."""
        self._session.forget()
        if isinstance(self._session.translated(why), StoreBroken):
            self._break(str(why))
        try:
            self._session.roll_back()
        except self._session.faults as again:
            self._break(f"a transaction could not be rolled back: {again}")

    def _look_after(self) -> None:
        if self._broken:
            return
        try:
            self._afterwards()
        except StoreBroken as why:
            self._break(str(why))

    def _break(self, why: str) -> None:
        if not self._broken:
            self._broken = why or "unknown"
            self._loop.call_soon_threadsafe(self._give_up, self._broken)

    def _abandon(self, group: list[_Operation[S]]) -> None:
        """Fail all operations when the thread dies, so that no caller waits for ever."""
        if self._loop.is_closed():
            return
        self._closing = True
        self._break("the writer thread has died")
        self._dead = True
        group += self._taken
        for operation in group:
            operation.error = StoreBroken(self._broken)
        self._loop.call_soon_threadsafe(self._resolve, group + self._refused())


def _kind(operation: _Operation[Any]) -> type[JointOperation] | None:
    """Return the class of an operation that can be joined with its neighbours, or None."""
    return type(operation.run) if isinstance(operation.run, JointOperation) else None
