"""Threads that read while the writer writes. Each call sees one snapshot of the store."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

from .errors import StoreError
from .session import ReadStopped, Session, Transactions

READERS: Final = 4  # threads with one connection each

T = TypeVar("T")


class Readers:
    """Threads that read. They start with the first call."""

    def __init__(self, connect: Callable[[], Session], opened: Sequence[Session] = ()) -> None:
        """`connect` opens a read-only session, on one of the threads. Raises StoreError.

        `opened` holds sessions that are open already.
        """
        self._connect = connect
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._free: queue.LifoQueue[Session] = queue.LifoQueue()
        for session in opened:
            self._free.put_nowait(session)
        self._running: set[_Call[Any]] = set()

    async def run(self, call: Callable[[Session], T]) -> T:
        """Run `call` on one snapshot of the store.

        Raises the exceptions of `call`, and StoreError. After an error of the database the next
        call uses another connection. If the caller is cancelled, its running statement is
        interrupted, because the database may never answer.
        """
        loop = asyncio.get_running_loop()
        one = _Call(call)
        try:
            found = loop.run_in_executor(self._threads, self._at_one_moment, one)
        except RuntimeError as why:
            raise StoreError("the store is closed") from why
        self._running.add(one)
        try:
            return await found
        except asyncio.CancelledError:
            one.interrupt()
            raise
        finally:
            self._running.discard(one)

    def _at_one_moment(self, one: "_Call[T]") -> T:
        session = self._begun(one)
        is_good = False
        try:
            found = one.run(session)
            session.roll_back()
            is_good = True
            return found
        except session.faults as why:
            # An error of the verb leaves the connection usable. After an error of the database,
            # the connection may be dead.
            is_good = isinstance(why, Transactions.faults) and _is_rolled_back(session)
            error = session.translated(why)
            if error is why:
                raise
            raise error from why
        finally:
            one.end()
            if is_good and not one.is_stopped:
                self._free.put_nowait(session)
            else:
                session.give_up()

    def _begun(self, one: "_Call[Any]") -> Session:
        """Return a session in a read transaction. A dead session is replaced."""
        with suppress(queue.Empty):
            session = self._free.get_nowait()
            try:
                one.begin(session)
            except session.faults:
                one.end()
                session.give_up()
            else:
                return session
        if one.is_stopped:
            raise ReadStopped
        session = self._connect()
        try:
            one.begin(session)
        except session.faults as why:
            one.end()
            session.give_up()
            error = session.translated(why)
            if error is why:
                raise
            raise error from why
        return session

    def close(self) -> None:
        """Interrupt the running calls, wait for them, then close."""
        for one in tuple(self._running):
            one.interrupt()
        self._threads.shutdown(cancel_futures=True)
        with suppress(queue.Empty):
            while True:
                self._free.get_nowait().close()


def _is_rolled_back(session: Session) -> bool:
    try:
        session.roll_back()
    except session.faults:
        return False
    return True


class _Call(Generic[T]):
    """A call, and the session that runs it."""

    def __init__(self, call: Callable[[Session], T]) -> None:
        self._call = call
        self._lock = threading.Lock()  # protects later calls on the session from interruption
        self._session: Session | None = None
        self.is_stopped = False

    def begin(self, session: Session) -> None:
        """Start a read transaction on a session. Raises ReadStopped, and errors of the database."""
        with self._lock:
            if self.is_stopped:
                raise ReadStopped
            self._session = session
        session.begin_read()

    def run(self, session: Session) -> T:
        return self._call(session)

    def end(self) -> None:
        """Release the session for other calls."""
        with self._lock:
            self._session = None

    def interrupt(self) -> None:
        """Let the call end soon, even if it has not started."""
        with self._lock:
            self.is_stopped = True
            if self._session is not None:
                self._session.interrupt()
