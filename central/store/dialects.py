"""One SQL text for two databases: translate a statement for each of them.

A statement that both databases run is written once, in the SQL of PostgreSQL with the hints of
SQLite. For each database, the parts that only the other one knows are removed or replaced:
    written                         on SQLite                on PostgreSQL
    x::bigint                       x
    json_each(:ids)                                          json_array_elements_text(:ids::json)
    ?1                                                       $1
    a CROSS JOIN b ON …             (b is read after a)      a JOIN b ON …
    INDEXED BY index                                         (nothing)
    IS [NOT] DISTINCT FROM          IS NOT, IS
    greatest(a, b), least(a, b)     max(a, b), min(a, b)
    FOR UPDATE, FOR NO KEY UPDATE   (nothing)
    RETURNING :n::bigint            (nothing)                (tells which of many rows changed)

`WITH v AS EACH (a::bigint, b::text)` stands for rows of parameters. It makes two statements: one
takes a single row, and the other, `…_together`, takes many rows:

                                    on SQLite                on PostgreSQL
    for one row                     VALUES (?1, ?2)          VALUES ($1::bigint, $2::text)
    for many rows                   VALUES (?, ?), (?, ?), … SELECT * FROM unnest($1::bigint[], …)
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

ROWS_TOGETHER: Final = 16  # rows in a statement of SQLite; missing rows are NULLs

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
_EACH: Final = re.compile(r"\bAS EACH \(([^()]*)\)")
_MANY: Final = {"sqlite": "VALUES {rows}", "postgresql": "SELECT * FROM unnest({arrays})"}


def forms(database: str, name: str, statement: str) -> Iterator[tuple[str, str]]:
    """Yield (name, text) for a shared statement in the form that one database runs."""
    found = _EACH.search(statement)
    if found is None:
        yield name, said_on(database, statement)
        return
    columns = [column.partition("::") for column in re.split(r",\s+", found[1])]
    given = [f"?{number}::{kind}" for number, (_, _, kind) in enumerate(columns, 1)]
    row = f"({', '.join('?' * len(columns))})"
    many = _MANY[database].format(
        rows=", ".join([row] * ROWS_TOGETHER), arrays=", ".join(f"{one}[]" for one in given)
    )
    names = ", ".join(column for column, _, _ in columns)
    for its_name, rows in (name, f"VALUES ({', '.join(given)})"), (f"{name}_together", many):
        text = statement.replace(found[0], f"({names}) AS ({rows})")
        yield its_name, said_on(database, text)


def said_on(database: str, statement: str) -> str:
    """Return a shared statement in the form that one database runs."""
    for pattern, replacement in RULES[database]:
        statement = pattern.sub(replacement, statement)
    return statement
