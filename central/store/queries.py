"""Named SQL statements, read from files; none is ever put together in Python.

Each subject has its statements in its folder. `NAME.sql` holds those of both databases,
`NAME.<database>.sql` those that one of them must say otherwise or alone.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from .dialects import said_on

_NAME = re.compile(r"^-- name: (\w+)\s*$")


@cache
def load(database: str) -> Mapping[str, str]:
    """Return all statements of a database by name. A name that comes twice is a mistake of ours."""
    found: dict[str, str] = {}
    for file in sorted(_files(), key=lambda file: file.name):
        _, *kind = file.name.split(".")
        if kind not in (["sql"], [database, "sql"]):
            continue
        for name, statement in parse(file.read_text(encoding="utf-8")):
            assert name not in found, f"statement {name} stands twice for {database}"
            found[name] = said_on(database, statement) if kind == ["sql"] else statement
    return MappingProxyType(found)


def _files() -> Iterator[Traversable]:
    """Yield the files with statements: each lies in the folder of its subject."""
    for folder in files("pilotage.central").iterdir():
        if folder.is_dir():
            yield from (file for file in folder.iterdir() if file.name.endswith(".sql"))


def parse(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, statement) for each `-- name: x`, without comment lines and the semicolon."""
    name, lines = "", list[str]()
    for line in text.splitlines():
        heading = _NAME.match(line)
        if heading:
            if name:
                yield name, _statement(lines)
            name, lines = heading.group(1), []
        elif not line.lstrip().startswith("--"):
            lines.append(line)
    if name:
        yield name, _statement(lines)


def _statement(lines: list[str]) -> str:
    return "\n".join(lines).strip().removesuffix(";")
