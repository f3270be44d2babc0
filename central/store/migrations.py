"""Numbered, forward-only migrations: `<database>/migrations/NNNN_name.sql`.

Each migration runs once, in one transaction with the row that records it. A file never changes
after a release: every start compares its checksum. A migration only adds. Tables and columns are
dropped one release later, so that the release before can still read.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from .errors import MigrationChanged, NewerSchema


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def migrations(database: str) -> tuple[Migration, ...]:
    """Return the migrations of a database in order: 1, 2, … without a gap."""
    found: list[Migration] = []
    for file in (files("pilotage.central.store") / database / "migrations").iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        found.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    assert [one.number for one in found] == list(range(1, len(found) + 1)), "numbers have a gap"
    return tuple(found)


def still_to_run(applied: Sequence[Any], known: Sequence[Migration]) -> Sequence[Migration]:
    """Return the migrations that are missing, given the applied ones (number, name, checksum).

    Raises NewerSchema, or MigrationChanged if an applied migration has another text now.
    """
    if applied and applied[-1][0] > len(known):
        raise NewerSchema(applied[-1][0], len(known))
    for (number, name, checksum), migration in zip(applied, known, strict=False):
        if checksum != migration.checksum:
            raise MigrationChanged(number, name)
    return known[len(applied) :]
