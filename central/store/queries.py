"""Named SQL statements, read from files. Python inserts only lists of columns.

Each subject has its statements in its folder, or in a folder below it. `NAME.sql` holds the
statements for both databases. `NAME.<database>.sql` holds those that one database needs in another
form, or alone.

A line `-- columns: x` names a list of columns. The statements of the file can then write `{x}` for
the columns, `{a.x}` for those of table `a`, and `{x::type}` for the columns with their types.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from .dialects import forms

_HEADING = re.compile(r"^-- (name|columns): (\w+)[ \t]*$", re.MULTILINE)
_COLUMNS = re.compile(r"\{(\w+\.)?([a-z]\w*)(::type)?\}")


@cache
def load(database: str) -> Mapping[str, str]:
    """Return all statements of a database by name. A duplicate name is a bug."""
    found: dict[str, str] = {}
    for file in sorted(_files(), key=lambda file: file.name):
        _, *kind = file.name.split(".")
        if kind not in (["sql"], [database, "sql"]):
            continue
        for name, text in parse(file.read_text(encoding="utf-8")):
            own = kind != ["sql"]
            for its_name, statement in [(name, text)] if own else forms(database, name, text):
                assert its_name not in found, (
                    f"statement {its_name} is defined twice for {database}"
                )
                found[its_name] = statement
    return MappingProxyType(found)


def _files() -> Iterator[Traversable]:
    """Yield the files with statements, in the folders of subjects and the folders below these."""
    for folder in files("pilotage.central").iterdir():
        if folder.is_dir():
            yield from _statements(folder)
            for inner in folder.iterdir():
                if inner.is_dir():
                    yield from _statements(inner)


def _statements(folder: Traversable) -> Iterator[Traversable]:
    return (file for file in folder.iterdir() if file.name.endswith(".sql"))


def parse(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, statement) for each `-- name: x`, without comment lines and semicolon."""
    lists: dict[str, list[str]] = {}
    _, *parts = _HEADING.split(text)
    for kind, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        lines = [line for line in body.splitlines() if not line.lstrip().startswith("--")]
        found = "\n".join(lines).strip().removesuffix(";")
        if kind == "columns":
            lists[name] = re.split(r",\s+", found)
        else:
            yield name, _COLUMNS.sub(partial(_listed, lists), found)


def _listed(lists: Mapping[str, list[str]], use: re.Match[str]) -> str:
    table, name, typed = use.groups(default="")
    return ", ".join(table + (one if typed else one.partition("::")[0]) for one in lists[name])
