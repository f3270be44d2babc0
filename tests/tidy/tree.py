"""The files of the repository as the tidy tests see them: each once, by its real folder."""

import ast
import functools
import gc
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
ROOMS: Final = ("central", "matcher", "pilot", "proto")


@functools.cache
def files() -> tuple[str, ...]:
    """Return what git holds or would take: links and ignored files left out, new files included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    names = sorted({name for name in listed.decode().split("\0") if name})
    return tuple(name for name in names if _is_plain(ROOT / name))


def modules(*folders: str) -> tuple[str, ...]:
    """Return the Python files under `folders`, or all of them."""
    wanted = tuple(f"{folder}/" for folder in folders) or ("",)
    return tuple(name for name in files() if name.endswith(".py") and name.startswith(wanted))


@functools.cache
def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@functools.cache
def tree(name: str) -> ast.Module:
    gc.disable()  # all trees stay, and the collector would walk them again and again
    try:
        return ast.parse(text(name), filename=name)
    finally:
        gc.freeze()
        gc.enable()


@functools.cache
def imports(name: str) -> tuple[tuple[int, str], ...]:
    """Return line and full name of everything that a module imports absolutely, wherever it does.

    `from a import b` gives `a.b`; whether `b` is a module is not asked.
    """
    return tuple(_imports(name))


def _imports(name: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
