"""Named SQL statements, read from `sql/<database>/*.sql`; none is ever put together in Python."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)\s*$")


@cache
def load(database: str) -> Mapping[str, str]:
    """Return all statements of a database by name. A name that comes twice is a mistake of ours."""
    found: dict[str, str] = {}
    folder = files("pilotage.central.store") / "sql" / database
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            for name, statement in parse(file.read_text(encoding="utf-8")):
                assert name not in found, f"statement {name} stands twice in sql/{database}"
                found[name] = statement
    return MappingProxyType(found)


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
