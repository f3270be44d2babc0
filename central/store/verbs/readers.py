"""Threads that read beside the writer, each call at one moment of the store."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, Generic, TypeVar

from .session import Session, Transactions

READERS: Final = 4  # threads, each with a connection

T = TypeVar("T")


class Readers:
    """Threads that read. None is started, no connection is opened before the first call."""

    def __init__(self, connect: Callable[[], Session]) -> None:
        """`connect` opens a session that only reads; it is called on one of the threads.

        Raises StoreError.
        """
        self._connect = connect
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._free: queue.LifoQueue[Session] = queue.LifoQueue()

    async def run(self, call: Callable[[Session], T]) -> T:
        """Run `call` so that all its statements see one state of the store.

        Raises what `call` raises, and StoreError: the next one has another connection then. If the
        caller is cancelled, the statement that runs is broken off: the database may be silent.
        """
        loop = asyncio.get_running_loop()
        one = _Call(call)
        try:
            return await loop.run_in_executor(self._threads, self._at_one_moment, one)
        except asyncio.CancelledError:
            one.interrupt()
            raise

    def _at_one_moment(self, one: "_Call[T]") -> T:
        session = self._session()
        is_good = False
        try:
            found = one.run(session)
            is_good = True
            return found
        except session.faults as why:
            # What a call is refused says nothing of the connection. Of the database's own errors
            # nobody knows which it outlives, and what broke one has broken those beside it.
            is_good = isinstance(why, Transactions.faults)
            told = session.translated(why)
            if told is why:
                raise
            raise told from why
        finally:
            if is_good:
                self._free.put_nowait(session)
            else:
                session.close()
                self._close_free()

    def _session(self) -> Session:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            return self._connect()

    def close(self) -> None:
        """Wait for calls that run, then close."""
        self._threads.shutdown()
        self._close_free()

    def _close_free(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._free.get_nowait().close()


class _Call(Generic[T]):
    """A call, and the session that it runs on."""

    def __init__(self, call: Callable[[Session], T]) -> None:
        self._call = call
        self._lock = threading.Lock()  # so that no later call on the session is broken off
        self._session: Session | None = None

    def run(self, session: Session) -> T:
        with self._lock:
            self._session = session
        try:
            session.begin_read()
            try:
                return self._call(session)
            finally:
                session.roll_back()
        finally:
            with self._lock:
                self._session = None

    def interrupt(self) -> None:
        with self._lock:
            if self._session is not None:
                self._session.interrupt()
