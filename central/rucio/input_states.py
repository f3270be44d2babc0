"""The state of a server's inputs, in memory. After a restart, the first polls rebuild it."""

import math
from dataclasses import dataclass, field
from typing import Final

from .files import RucioInput
from .filters import Filter, parse_filter
from .remote_files import Name

TROUBLES_MAX: Final = 1_000  # kept for each input


@dataclass
class Content:
    """The files of one dataset, or of a scope, by their state here."""

    settled: set[Name] = field(default_factory=set[Name])  # they are in the catalogue
    aside: set[Name] = field(default_factory=set[Name])  # unwanted or in trouble
    waiting: dict[Name, str] = field(default_factory=dict[Name, str])  # with the reason
    is_open: bool | None = None  # as it was left here; None: unknown
    is_whole: bool = False  # closed in Rucio, and nothing waits

    def settle(self, name: Name) -> None:
        """Note that a file is in the catalogue."""
        self.settled.add(name)
        self.aside.discard(name)
        self.waiting.pop(name, None)

    def set_aside(self, name: Name) -> None:
        """Note that a file is not looked at before the next comparison."""
        self.aside.add(name)
        self.settled.discard(name)
        self.waiting.pop(name, None)

    def wait(self, name: Name, why: str) -> None:
        """Note that a file is looked at again, after all that wait now."""
        self.waiting.pop(name, None)
        self.waiting[name] = why

    def forget(self, name: Name) -> None:
        """Note that Rucio does not have the file any more."""
        self.settled.discard(name)
        self.aside.discard(name)
        self.waiting.pop(name, None)

    def is_known(self, name: Name) -> bool:
        """Return whether the file needs no look."""
        return name in self.settled or name in self.aside


@dataclass
class InputState:
    """An input of a server's file, and how far it is mirrored. Times are of the wall clock."""

    entry: RucioInput
    contents: dict[Name, Content] = field(default_factory=dict[Name, Content])
    troubles: dict[str, str] = field(default_factory=dict[str, str])  # by name, in words
    why: str = ""  # why the last poll failed
    changed: set[Name] = field(default_factory=set[Name])  # files that events named
    due_at: float = 0.0  # monotonic
    asked_at: float = -math.inf  # monotonic: begin of the last poll
    began_at: float | None = None  # of the last good poll
    polled_at: float | None = None

    def __post_init__(self) -> None:
        self.filter: Filter = parse_filter(self.entry.filter)

    def content(self, name: Name) -> Content:
        """Return the state of a dataset or scope."""
        return self.contents.setdefault(name, Content())

    @property
    def files(self) -> int:
        """The number of its files in the catalogue, once for each dataset."""
        return sum(len(one.settled) for one in self.contents.values())

    @property
    def waiting(self) -> int:
        """The number of files that wait for keys or copies."""
        return sum(len(one.waiting) for one in self.contents.values())

    def trouble(self, name: str, why: str) -> bool:
        """Keep a trouble. Return whether it is new, and there was room for it."""
        if self.troubles.get(name) == why or len(self.troubles) >= TROUBLES_MAX:
            return False
        self.troubles[name] = why
        return True
