"""One text of SQL for two databases: what a statement is on each of them.

A statement that both databases run is written once, in the SQL of PostgreSQL with the hints of
SQLite. Each database drops or says otherwise what only the other one knows:

    written                         on SQLite                on PostgreSQL
    x::bigint                       x
    json_each(:ids)                                          json_array_elements_text(:ids::json)
    ?1                                                       $1
    a CROSS JOIN b ON …             (b is read after a)      a JOIN b ON …
    INDEXED BY index                                         (nothing)
    IS [NOT] DISTINCT FROM          IS NOT, IS
    greatest(a, b), least(a, b)     max(a, b), min(a, b)
    FOR UPDATE, FOR NO KEY UPDATE   (nothing)
    RETURNING :n::bigint            (nothing)                (tells which of many rows it changed)
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_Rules = tuple[tuple[re.Pattern[str], str], ...]

_SQLITE: Final[_Rules] = (
    (re.compile(r"\s+RETURNING (:n|\?\d+|1)(::\w+)?$"), ""),
    (re.compile(r"\s+FOR (NO KEY )?UPDATE( OF \w+)?\b"), ""),
    (re.compile(r"::\w+(\[\])?"), ""),
    (re.compile(r"\bIS NOT DISTINCT FROM\b"), "IS"),
    (re.compile(r"\bIS DISTINCT FROM\b"), "IS NOT"),
    (re.compile(r"\bgreatest\("), "max("),
    (re.compile(r"\bleast\("), "min("),
)
_POSTGRESQL: Final[_Rules] = (
    (re.compile(r"\?(\d+)"), r"$\1"),
    (re.compile(r"\s+INDEXED BY \w+"), ""),
    (re.compile(r"\bCROSS JOIN(?=\s+\w+(\([^()]*\))?(\s+AS \w+)?\s+ON\b)"), "JOIN"),
    (
        re.compile(r"\bjson_each\(([^()]+)\)\s+AS (\w+)"),
        r"json_array_elements_text(\1::json) AS \2(value)",
    ),
    (
        re.compile(r"\bjson_each\(([^()]+)\)(?!\s+AS\b)"),
        r"json_array_elements_text(\1::json) AS value",
    ),
)
RULES: Final[Mapping[str, _Rules]] = MappingProxyType(
    {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
)


def said_on(database: str, statement: str) -> str:
    """Return a statement of both databases as one of them runs it."""
    for pattern, replacement in RULES[database]:
        statement = pattern.sub(replacement, statement)
    return statement
