"""A type of storage is one file in the central and one in the pilot. No other code knows it."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from . import tree

GROUPS: Final = ("pilotage.storages", "pilotage.pilot.storages")
WHY: Final = "let StorageType or the driver say what this code must know"
# Types whose names also are other words. Code may not compare them with a `type`.
OTHER_MEANINGS: Final = {
    "file": "an entry of a folder, and a source of credentials",
    "http": "a scheme of URLs of any server",
}


def test_no_other_code_names_a_type_of_storages() -> None:
    _, names = _files_and_names()
    known = names - set(OTHER_MEANINGS)
    found = [
        f"{module}:{node.lineno}: {node.value!r}"
        for module in _other_modules()
        for node in ast.walk(tree.tree(module))
        if isinstance(node, ast.Constant) and node.value in known
    ]

    assert not found, WHY


def test_no_other_code_compares_the_type_of_a_storage_with_a_name() -> None:
    _, names = _files_and_names()
    found = [
        f"{module}:{node.lineno}"
        for module in _other_modules()
        for node in ast.walk(tree.tree(module))
        if isinstance(node, ast.Compare) and _reads_type(node) and names & _words(node)
    ]

    assert not found, WHY


def test_no_other_code_imports_a_type_of_storages() -> None:
    files, _ = _files_and_names()
    found = [
        f"{module}: {imported}"
        for module in _other_modules()
        for imported in _imports(module)
        if f"{imported}.py" in files
    ]

    assert not found, "types are found by their entry points"


def test_a_name_an_import_and_a_comparison_would_be_found() -> None:
    files, names = _files_and_names()
    compared = ast.parse('one.type != "file"', mode="eval").body

    assert {"central/catalogue/types/s3.py", "pilot/data/s3_storage.py"} <= files
    assert set(OTHER_MEANINGS) < names
    assert isinstance(compared, ast.Compare) and _reads_type(compared) and _words(compared) & names
    assert "pilot/data/storages" in _imports("pilot/data/s3_storage.py")


def _files_and_names() -> tuple[set[str], set[str]]:
    """Return the files of our types, and the names of the types, as pyproject.toml has them."""
    project = tomllib.loads(tree.text("pyproject.toml"))["project"]
    entries = [project["entry-points"][group] for group in GROUPS]
    modules = {value.partition(":")[0] for one in entries for value in one.values()}
    files = {f"{name.removeprefix('pilotage.').replace('.', '/')}.py" for name in modules}
    return files, {name for one in entries for name in one}


def _other_modules() -> Iterator[str]:
    files, _ = _files_and_names()
    return (module for module in tree.modules(*tree.ROOMS) if module not in files)


def _reads_type(node: ast.Compare) -> bool:
    sides = (node.left, *node.comparators)
    return any(isinstance(one, ast.Attribute) and one.attr == "type" for one in sides)


def _words(node: ast.AST) -> set[object]:
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant)}


def _imports(module: str) -> set[str]:
    """Return the modules, and names in modules, that one imports, as paths without a suffix."""
    found = {name.removeprefix("pilotage.") for _, name in tree.imports(module)}
    found |= {name.rpartition(".")[0] for name in found}
    for node in ast.walk(tree.tree(module)):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = PurePath(module).parents[node.level - 1].as_posix().replace("/", ".")
            source = f"{folder}.{node.module}" if node.module else folder
            found |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return {name.replace(".", "/") for name in found}
