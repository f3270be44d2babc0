"""What verbs run on: a connection with its statements, and what it knows of rows that never change.

A driver says how statements are run. All of it is called on one thread at a time.
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
LOCK_LOOK_S: Final = 0.1  # how often a read that waits for another one looks whether to stop
TEMPLATES_BYTES_MAX: Final = 32_000_000
READER_TEMPLATES_BYTES_MAX: Final = 8_000_000  # of each session that only reads


class SessionCache(Protocol):
    """What a session knows of rows."""

    def forget(self) -> None:
        """Forget what was learnt in a transaction that is rolled back."""


T = TypeVar("T")
K = TypeVar("K", bound=SessionCache)

Parameters = Mapping[str, object] | Sequence[object]


class Templates:
    """The newest templates of submissions, bounded by their size."""

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
        """Keep one; it is kept already where several reads of it ran at once."""
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
    """What is known of a statement that has run."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...


class Transactions(ABC):
    """A connection as the writer sees it."""

    # What an operation can bring about by its own data: refusals of the database, and values that
    # it cannot take (an integer above 2^63, half a surrogate pair).
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
        """Return when what was written is synced to disk."""

    @abstractmethod
    def roll_back(self) -> None:
        """End the transaction if there is one. What fails here is one of `faults`."""

    @abstractmethod
    def forget(self) -> None:
        """Drop what was learnt in a transaction that is rolled back."""

    def may_pass(self, why: BaseException) -> bool:
        """Say whether the operation may succeed when it is run again at once."""
        return False

    @abstractmethod
    def translated(self, why: BaseException) -> BaseException:
        """Return what the caller is told for an error of the database; others are their own."""


class ReadStopped(StoreError):
    """Nobody waits for this read any more."""


class Session(Transactions):
    """What all verbs work on."""

    is_shared: ClassVar[bool] = False  # whether other processes write to the database too
    is_stopped = False
    generation = ""  # identity of the store's past; another one after a restore

    def __init__(
        self,
        shared: dict[type, Any] | None = None,
        templates_bytes_max: int = TEMPLATES_BYTES_MAX,
    ) -> None:
        """`shared` is what the sessions of one store have in common, by its class."""
        self._shared: dict[type, Any] = {} if shared is None else shared
        self.templates = Templates(templates_bytes_max)
        self._sites: dict[str, int] = {}
        self._own: dict[type, Any] = {}

    def shared(self, kind: type[T]) -> T:
        """Return the one object of a class that all sessions of the store share, on any thread."""
        if kind not in self._shared:
            self._shared.setdefault(kind, kind())  # another thread may be quicker
        found: T = self._shared[kind]
        return found

    def own(self, kind: type[K]) -> K:
        """Return what this session alone knows, by its class: made when first asked for.

        Its `forget` is called when a transaction is rolled back.
        """
        if kind not in self._own:
            self._own[kind] = kind()
        found: K = self._own[kind]
        return found

    def forget(self) -> None:
        """A transaction was rolled back: a site learnt in it may have another id next time."""
        self._sites.clear()
        for known in self._own.values():
            known.forget()

    @abstractmethod
    def begin_read(self) -> None:
        """Begin a transaction that only reads, and sees one state of the store."""

    def interrupt(self) -> None:
        """Let the statement that runs, and all later ones, fail. Called from another thread."""
        self.is_stopped = True

    def check(self) -> None:
        """Raise Stopped if the session was interrupted."""
        if self.is_stopped:
            raise ReadStopped

    @contextmanager
    def holding(self, lock: threading.Lock) -> Generator[None]:
        """Hold a lock that other sessions share. Raises Stopped."""
        while not lock.acquire(timeout=LOCK_LOOK_S):
            self.check()
        try:
            yield
        finally:
            lock.release()

    @abstractmethod
    def give_up(self) -> None:
        """Close at once, whatever state the connection is in."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def run(self, statement: str, parameters: Parameters = ()) -> StatementResult: ...

    @abstractmethod
    def rows(self, statement: str, parameters: Parameters = ()) -> list[Any]: ...

    @abstractmethod
    def one(self, statement: str, parameters: Parameters = ()) -> Any:
        """Return the first row or None."""

    @abstractmethod
    def many(self, statement: str, rows: Sequence[Parameters]) -> int:
        """Run a statement for each row; return how many rows changed in all."""

    @abstractmethod
    def each(self, statement: str, rows: Sequence[Parameters]) -> list[bool]:
        """Run compare-and-sets in order, and tell which changed their row."""

    # -- submissions, where several processes take them in --------------------------------------

    def arriving(self, submission_id: int) -> None:
        """A submission begins to arrive in chunks."""

    def still_arriving(self, submission_id: int) -> None:
        """More comes of it. Raises SubmissionDropped where it was taken for abandoned."""

    def ends_arriving(self, submission_id: int) -> bool:
        """All has come, or it is dropped; False: that was said before."""
        return True

    def arrived(self, submission_id: int) -> None:
        """A submission becomes visible: tell the process that keeps the queue."""

    # -- paths on storages, where several processes write ---------------------------------------

    def names_paths(self) -> None:
        """From now on, as long as this transaction lives, nobody marks paths as being swept."""

    def marks_paths(self) -> None:
        """The same the other way round: nobody names any."""

    def reserve(self, name: str, count: int = 1) -> int:
        """Take `count` ids out of a counter for ever; return the first."""
        first: int = self.one("reserve", {"name": name, "count": count})[0]
        return first

    def site(self, site: str) -> int:
        """Return the id of a site; a new one is stored."""
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
    """Return a list as statements take one."""
    return msgspec.json.encode(values).decode()
