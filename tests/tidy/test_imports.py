"""What modules may import, beyond the layers that import-linter guards."""

import ast
import re
import subprocess
import sys
from typing import Final

import pytest

from . import tree

# Deciding modules: values in, commands out. A module belongs to them when its first docstring says
# "Pure", or when its room does as a whole.
PURE_ROOMS: Final = ("matcher/", "proto/")
IMPURE_IN_THEM: Final = ("matcher/compiled.py", "proto/tasks.py")  # they decide nothing
PURE_WORD: Final = re.compile(r"\bPure[.:]")
IMPURE: Final = {"asyncio", "time", "random", "os", "sqlite3", "socket", "subprocess", "threading"}

FAKED: Final = "fakes, never mocks: tests/fakes.py"


def test_no_room_is_imported_under_its_bare_name() -> None:
    found = [
        f"{name}:{line} {imported}"
        for name in tree.modules()
        for line, imported in tree.imports(name)
        if imported.split(".")[0] in tree.ROOMS
    ]

    assert not found, "a module would exist twice: import pilotage.<room>"


def test_inside_a_room_imports_are_relative() -> None:
    found = [
        f"{name}:{line} {imported}"
        for room in tree.ROOMS
        for name in tree.modules(room)
        for line, imported in tree.imports(name)
        if imported.startswith(f"pilotage.{room}.")
    ]

    assert not found, "an absolute import marks the crossing of a wall"


def test_nobody_mocks() -> None:
    found = [
        f"{name}:{line}"
        for name in tree.modules()
        for line, imported in tree.imports(name)
        if imported.startswith(("unittest.mock", "mock."))
    ]

    assert not found, FAKED


def test_deciding_modules_touch_nothing_of_the_world() -> None:
    pure = [name for name in tree.modules() if says_pure(name)]
    found = [
        f"{name}:{line} {imported}"
        for name in pure
        for line, imported in tree.imports(name)
        if imported.split(".")[0] in IMPURE
    ]

    assert not found


def says_pure(name: str) -> bool:
    if name.startswith(PURE_ROOMS):
        return name not in IMPURE_IN_THEM
    said = ast.get_docstring(tree.tree(name)) or ""
    return PURE_WORD.search(said) is not None and not name.startswith("tests/")


def test_those_that_decide_say_so() -> None:
    """So that the word does not get lost where it counts."""
    known = ("central/jobs/verdicts.py", "central/jobs/intents.py", "pilot/mind/brain.py")

    assert [name for name in known if not says_pure(name)] == []


@pytest.mark.parametrize("room", tree.ROOMS)
def test_no_room_is_loaded_under_its_bare_name(room: str) -> None:
    bare = [name for name in sys.modules if name.split(".")[0] == room]

    assert not bare


def test_importing_the_pilot_loads_the_standard_library_only() -> None:
    code = """
import sys
before = set(sys.modules)
import pilotage.pilot
print(*{name.split(".")[0] for name in set(sys.modules) - before})
"""
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=tree.ROOT, check=True, capture_output=True, text=True
    ).stdout.split()

    assert set(loaded) - sys.stdlib_module_names == {"pilotage"}
