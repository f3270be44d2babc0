"""The table of CONTRIBUTING that says which files a typical change touches, and the product."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from . import tree

PAGE: Final = "CONTRIBUTING.md"
HEADING: Final = "## Files of a typical change"
KINDS: Final = (".py", ".sql", ".yaml", ".toml", ".sh")
MIGRATIONS: Final = "/migrations/"  # a change adds one, and never edits one
ROWS_MIN: Final = 9
GENERATED: Final = ("central/client/blocking.py",)


@dataclass(frozen=True)
class Change:
    """A row: its example is some words, and `files` are those in which one of them stands."""

    what: str
    words: tuple[str, ...]
    files: frozenset[str]
    count: int  # that the row says
    goal: int


def changes(page: str) -> Iterator[Change]:
    """Yield the rows of the table. Raises ValueError if there is none, or a row has no numbers."""
    _, found, rest = page.partition(f"{HEADING}\n")
    if not found:
        raise ValueError(f"there is no section {HEADING!r}")
    for line in rest.partition("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and "`" in line:
            what, example, files = cells
            paths = (path for one in _quoted(files) for path in expanded(one))
            said = re.match(r"(\d+) \((\d+)\):", files)
            if said is None:
                raise ValueError(f"{what}: expected NUMBER (GOAL): before its files")
            words = tuple(_quoted(example))
            yield Change(what, words, frozenset(paths), int(said[1]), int(said[2]))


def _quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def expanded(path: str) -> list[str]:
    """Return the paths that `a/{b,c}.py` stands for."""
    before, brace, rest = path.partition("{")
    if not brace:
        return [path]
    inside, _, after = rest.partition("}")
    return [f"{before}{one}{after}" for one in inside.split(",")]


def product() -> list[str]:
    """Return the files in which a change of the product is made."""
    rooms = tuple(f"{room}/" for room in tree.ROOMS)
    return [
        name
        for name in tree.files()
        if (name == "pyproject.toml" or name.startswith(rooms))
        and name.endswith(KINDS)
        and MIGRATIONS not in name
        and name not in GENERATED
    ]


def touched(words: tuple[str, ...]) -> frozenset[str]:
    """Return the files in which one of these words stands, whole and not in prose."""
    whole = re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b")
    return frozenset(
        name
        for name in product()
        if whole.search(tree.text(name)) and whole.search(code(name, tree.text(name)))
    )


def code(name: str, text: str) -> str:
    """Return a file without comments and docstrings."""
    if not name.endswith(".py"):
        return re.sub(r"^\s*(?:--|#).*$", "", text, flags=re.MULTILINE)
    module = ast.parse(text)
    for node in ast.walk(module):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(module)


CHANGES: Final = tuple(changes(tree.text(PAGE)))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.what)
def test_a_change_touches_the_files_that_the_table_names(change: Change) -> None:
    found = touched(change.words)

    assert sorted(found - change.files) == [], f"not in the table of {PAGE}"
    assert sorted(change.files - found) == [], f"in the table of {PAGE}, and without the example"
    assert len(found) == change.count >= change.goal


def test_no_row_is_lost() -> None:
    assert len({change.what for change in CHANGES}) >= ROWS_MIN


TABLE: Final = f"""
{HEADING}

| change | example | files |
|---|---|---|
| a thing | `one`, `two` | 3 (1): `x/{{a,b}}.py`, `c.sql` |

## Next

| a row | `of` | `another table` |
"""


def test_the_page_names_what_is_there() -> None:
    said = tree.text(PAGE).partition("## Where to make which change")[2].partition("\n## Links")[0]
    named = {path for one in _quoted(said) for path in expanded(one) if "/" in path}
    paths = [one for one in named if re.fullmatch(r"[a-z0-9_./-]+", one)]
    gone = [one for one in paths if not _is_there(one)]

    assert len(paths) > 40
    assert gone == []


def _is_there(path: str) -> bool:
    folder = f"{path.rstrip('/')}/"
    return path in tree.files() or any(name.startswith(folder) for name in tree.files())


def test_a_table_is_read() -> None:
    files = frozenset({"x/a.py", "x/b.py", "c.sql"})

    assert list(changes(TABLE)) == [Change("a thing", ("one", "two"), files, 3, 1)]


def test_prose_is_no_use_of_a_word() -> None:
    text = '"""Of peek."""\n# peek\ndef look(): \n    """Peek."""\n    return other.peeks\n'

    assert "peek" not in re.findall(r"\w+", code("a.py", text))
    assert "peek" in code("a.py", "self.peek()")
    assert "peek" not in code("a.sql", "-- peek\nSELECT 1;")
