"""What modules may import, beyond the layers that import-linter guards."""

import subprocess
import sys
from typing import Final

import pytest

from . import tree

# Deciding modules: values in, commands out. A module joins this list when it is written pure.
PURE: Final = ("matcher/", "proto/", "central/jobs/verdicts.py", "central/jobs/leases.py")
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
    pure = [name for name in tree.modules() if name.startswith(PURE)]
    found = [
        f"{name}:{line} {imported}"
        for name in pure
        for line, imported in tree.imports(name)
        if imported.split(".")[0] in IMPURE
    ]

    assert not found


def test_every_module_that_is_named_pure_exists() -> None:
    gone = [name for name in PURE if not any(file.startswith(name) for file in tree.files())]

    assert not gone


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
