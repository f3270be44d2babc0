"""Names that say nothing, and sizes that ask whether a thing knows two things."""

import ast
import collections
import re
from pathlib import PurePath
from typing import Final

from . import tree

EMPTY_NAMES: Final = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
RIDDLES: Final = {  # names of modules that need their docstring to be understood
    *("aside", "beside", "found", "given", "had", "held", "hearing", "itself", "joined", "known"),
    *("labour", "leading", "looking", "meant", "others", "out", "room", "same", "saying", "shown"),
    *(
        "staff",
        "steady",
        "strangers",
        "told",
        "turn",
        "untold",
        "whole",
        "wholes",
        "wide",
        "written",
    ),
}
SAME_IN_TWO_ROOMS_MAX: Final = 40
FOLDER_FILES_MAX: Final = 26
FUNCTION_LINES_MAX: Final = 100
MODULE_LINES_MAX: Final = 700
GENERATED: Final = {"central/client/blocking.py"}  # nobody reads it: its parts are short

# Plans are issues. Spelled in two parts, so that this file does not find itself.
UNPLANNED: Final = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")


def test_no_module_has_a_name_that_says_nothing() -> None:
    found = [
        name
        for name in tree.modules()
        if EMPTY_NAMES & {PurePath(p).stem for p in name.split("/")}
        or (name.startswith(tree.ROOMS) and PurePath(name).stem in RIDDLES)
    ]

    assert not found, "a module is named after what it knows"


def test_a_public_class_has_one_meaning() -> None:
    places: dict[str, set[str]] = {}
    for name in tree.modules(*tree.ROOMS):
        for node in tree.tree(name).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, set()).add(name)
    twice = {name for name, modules in places.items() if len(modules) > 1}

    assert len(twice) <= SAME_IN_TWO_ROOMS_MAX, f"give each its own name: {sorted(twice)}"


def test_no_folder_is_too_large_to_look_through() -> None:
    sizes = collections.Counter(str(PurePath(one).parent) for one in tree.modules(*tree.ROOMS))
    found = {folder: size for folder, size in sizes.items() if size > FOLDER_FILES_MAX}

    assert not found, "part it by subjects"


def test_no_function_is_longer_than_a_hundred_lines() -> None:
    found = [
        f"{name}:{node.lineno} {node.name}: {_lines(node)} lines"
        for name in tree.modules()
        for node in ast.walk(tree.tree(name))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _lines(node) > FUNCTION_LINES_MAX
    ]

    assert not found


def test_no_module_is_longer_than_seven_hundred_lines() -> None:
    written = (name for name in tree.modules() if name not in GENERATED)
    lengths = {name: len(tree.text(name).splitlines()) for name in written}
    found = {name: length for name, length in lengths.items() if length > MODULE_LINES_MAX}

    assert not found


def test_nothing_is_left_for_later_in_the_code() -> None:
    found = [
        f"{name}:{number}"
        for name in tree.modules()
        for number, line in enumerate(tree.text(name).splitlines(), start=1)
        if UNPLANNED.search(line)
    ]

    assert not found, "write it down as an issue"


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {PurePath(name).parent for name in tree.modules("tests")}
    found = [str(folder) for folder in folders if f"{folder}/__init__.py" not in tree.files()]

    assert not found, "mypy stops at two modules of one name"


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
