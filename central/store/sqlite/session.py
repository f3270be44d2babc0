"""A connection that writes, with its statements and what it knows of rows that never change."""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ..queries import load
from .catalogue_interned import Interned

SITES_MAX: Final = 10_000
TEMPLATES_BYTES_MAX: Final = 32_000_000

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
        self._kept[submission_id] = template
        self._bytes += _weight(template)
        while self._bytes > self._bytes_max and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= _weight(dropped)


def _weight(template: bytes | None) -> int:
    return 200 + len(template or b"")


class Session:
    """What all that writes here works on. It lives on the writer's thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.sql = load("sqlite")
        self.templates = Templates()
        self.interned = Interned()
        self._sites: dict[str, int] = {}

    def forget(self) -> None:
        """A transaction was rolled back: a site learnt in it may have another id next time."""
        self._sites.clear()
        self.interned.forget()

    def run(self, statement: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        return self.connection.execute(self.sql[statement], parameters)

    def one(self, statement: str, parameters: Parameters = ()) -> Any:
        """Return the first row or None."""
        return self.run(statement, parameters).fetchone()

    def rows(self, statement: str, parameters: Parameters = ()) -> list[Any]:
        return self.run(statement, parameters).fetchall()

    def many(self, statement: str, rows: Sequence[Parameters]) -> int:
        """Run a statement for each row; return how many rows changed in all."""
        if not rows:
            return 0
        return self.connection.executemany(self.sql[statement], rows).rowcount

    def reserve(self, name: str, count: int = 1) -> int:
        """Take `count` ids out of a counter for ever; return the first."""
        first: int = self.one("reserve", {"name": name, "count": count})[0]
        return first

    def each(self, statement: str, rows: Iterable[Parameters]) -> list[bool]:
        """Run compare-and-sets and tell which changed their row.

        Row by row: a savepoint around an executemany, to find losers after it, costs more than it
        saves, because SQLite then copies every page that is about to change.
        """
        cursor, sql = self.connection.cursor(), self.sql[statement]
        return [cursor.execute(sql, row).rowcount == 1 for row in rows]

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
    """Return a list for `json_each`."""
    return msgspec.json.encode(values).decode()
