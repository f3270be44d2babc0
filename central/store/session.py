"""Sessions, on which verbs run: a connection, and a cache of rows that never change.

A driver implements how statements run. One thread at a time uses a session.
"""

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final, Protocol, TypeVar

import msgspec

from .errors import StoreError

SITES_MAX: Final = 10_000
LOCK_LOOK_S: Final = 0.1  # between checks whether a read that waits for a lock should stop
TEMPLATES_BYTES_MAX: Final = 32_000_000
READER_TEMPLATES_BYTES_MAX: Final = 8_000_000  # of each read-only session


class SessionCache(Protocol):
    """A session's cache of rows."""

    def forget(self) -> None:
        """Drop what was cached in a transaction that is rolled back."""


T = TypeVar("T")
K = TypeVar("K", bound=SessionCache)

SqlParameters = Mapping[str, object] | Sequence[object]


class Templates:
    """The newest templates of submissions, limited by their size."""

    def __init__(self, bytes_max: int = TEMPLATES_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[int, bytes | None] = OrderedDict()

    def __contains__(self, submission_id: int) -> bool:
        return submission_id in self._kept

    def get(self, submission_id: int) -> bytes | None:
        self._kept.move_to_end(submission_id)
        return self._kept[submission_id]

    def keep(self, submission_id: int, template: bytes | None) -> None:
        """Cache a template. Parallel reads of one template may cache it repeatedly."""
        if submission_id in self._kept:
            self._bytes -= _weight(self._kept.pop(submission_id))
        self._kept[submission_id] = template
        self._bytes += _weight(template)
        while self._bytes > self._bytes_max and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= _weight(dropped)


def _weight(template: bytes | None) -> int:
    return 200 + len(template or b"")


class StatementResult(Protocol):
    """The outcome of a statement."""

    @property
    def rowcount(self) -> int:
        """The number of rows that it changed."""
        ...


class Transactions(ABC):
    """A connection as the writer sees it."""

    # Errors that an operation's own data can cause: refusals of the database, and values that
    # it cannot store (an integer above 2^63, half a surrogate pair).
    faults: ClassVar[tuple[type[Exception], ...]] = (
        StoreError,
        ValueError,
        TypeError,
        ArithmeticError,
        LookupError,
    )

    @abstractmethod
    def begin(self) -> None:
        """Begin a transaction that writes."""

    @abstractmethod
    def commit(self) -> None:
        """Commit. Return when the writes are synced to disk."""

    @abstractmethod
    def roll_back(self) -> None:
        """End the transaction if there is one. Errors here are among `faults`."""

    @abstractmethod
    def forget(self) -> None:
        """Drop caches after a transaction was rolled back."""

    def may_pass(self, why: BaseException) -> bool:
        """Return whether the operation may succeed if it runs again at once."""
        return False

    @abstractmethod
    def translated(self, why: BaseException) -> BaseException:
        """Return the store's error for an error of the database, or the same error for others."""


class ReadStopped(StoreError):
    """The read was interrupted, because its caller has gone."""


class Session(Transactions):
    """The connection that all verbs run on."""

    is_shared: ClassVar[bool] = False  # true: other processes write to the database too
    is_stopped = False
    generation = ""  # identity of the store's past; a restore changes it

    def __init__(
        self,
        shared: dict[type, Any] | None = None,
        templates_bytes_max: int = TEMPLATES_BYTES_MAX,
    ) -> None:
        """`shared` holds the objects that all sessions of one store share, by class."""
        self._shared: dict[type, Any] = {} if shared is None else shared
        self.templates = Templates(templates_bytes_max)
        self._sites: dict[str, int] = {}
        self._own: dict[type, Any] = {}

    def shared(self, kind: type[T]) -> T:
        """Return the one object of a class that all sessions of the store share, in all threads."""
        if kind not in self._shared:
            self._shared.setdefault(kind, kind())  # another thread may have been faster
        found: T = self._shared[kind]
        return found

    def own(self, kind: type[K]) -> K:
        """Return this session's own cache of a class, which is made at the first call.

        Its `forget` is called when a transaction is rolled back.
        """
        if kind not in self._own:
            self._own[kind] = kind()
        found: K = self._own[kind]
        return found

    def forget(self) -> None:
        """Drop caches after a rollback: a site may get another id next time."""
        self._sites.clear()
        for known in self._own.values():
            known.forget()

    @abstractmethod
    def begin_read(self) -> None:
        """Begin a read-only transaction on one snapshot of the store."""

    def interrupt(self) -> None:
        """Let the running statement and all later ones fail. Called from another thread."""
        self.is_stopped = True

    def check(self) -> None:
        """Raise ReadStopped if the session was interrupted."""
        if self.is_stopped:
            raise ReadStopped

    @contextmanager
    def holding(self, lock: threading.Lock) -> Generator[None]:
        """Hold a lock that other sessions share. Raises ReadStopped."""
        while not lock.acquire(timeout=LOCK_LOOK_S):
            self.check()
        try:
            yield
        finally:
            lock.release()

    @abstractmethod
    def give_up(self) -> None:
        """Close at once, whatever the state of the connection."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def run(self, statement: str, parameters: SqlParameters = ()) -> StatementResult: ...

    @abstractmethod
    def rows(self, statement: str, parameters: SqlParameters = ()) -> list[Any]: ...

    @abstractmethod
    def one(self, statement: str, parameters: SqlParameters = ()) -> Any:
        """Return the first row or None."""

    @abstractmethod
    def many(self, statement: str, rows: Sequence[SqlParameters]) -> int:
        """Run a statement for each row. Return how many rows changed in all."""

    @abstractmethod
    def each(self, statement: str, rows: Sequence[SqlParameters]) -> list[bool]:
        """Run compare-and-sets in order. Return for each whether it changed its row."""

    # -- submissions, if several processes take them in -----------------------------------------

    def arriving(self, submission_id: int) -> None:
        """Note that a submission starts to arrive in chunks."""

    def still_arriving(self, submission_id: int) -> None:
        """Note that more of it has arrived. Raises SubmissionDropped if it was dropped."""

    def ends_arriving(self, submission_id: int) -> bool:
        """Note that it is complete or dropped. Return False if that was noted before."""
        return True

    def arrived(self, submission_id: int) -> None:
        """Note that a submission becomes visible, and tell the leader."""

    # -- paths on storages, if several processes write ------------------------------------------

    def names_paths(self) -> None:
        """Until this transaction ends, let no other one mark paths for removal."""

    def marks_paths(self) -> None:
        """Until this transaction ends, let no other one name paths."""

    def reserve(self, name: str, count: int = 1) -> int:
        """Take `count` ids from a counter for ever. Return the first one."""
        first: int = self.one("reserve", {"name": name, "count": count})[0]
        return first

    def site(self, site: str) -> int:
        """Return the id of a site. An unknown site is stored first."""
        known = self._sites.get(site)
        if known is None:
            self.run("insert_site", {"site": site})
            known = int(self.one("get_site", {"site": site})[0])
            if len(self._sites) >= SITES_MAX:
                self._sites.clear()
            self._sites[site] = known
        return known

    def template(self, submission_id: int) -> bytes | None:
        if submission_id not in self.templates:
            found = self.one("get_template", {"submission_id": submission_id})
            self.templates.keep(submission_id, found[0] if found else None)
        return self.templates.get(submission_id)


def json_list(values: Sequence[object]) -> str:
    """Return a list in the form that statements take."""
    return msgspec.json.encode(values).decode()
