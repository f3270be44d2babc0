"""`pilot.pyz`: the same everywhere, and complete on the oldest Python that a node may have."""

import ast
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle

from .interpreters import fit, oldest_fit

ROOT = Path(__file__).resolve().parents[2]
# Every module of Python 3.9's library on Unix, by name; tests and programs are left out.
LIBRARY = frozenset(Path(__file__).with_name("python39_modules.txt").read_text().split())

# What the bundled packages import if it is there, or on a later Python: never without a guard.
OPTIONAL = {"annotationlib", "dns.resolver", "socks"}

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import aiomqtt, pilotage.pilot, pilotage.proto
for package in (pilotage.pilot, pilotage.proto):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
strangers = {name.split(".")[0] for name, module in sys.modules.items()
             if "site-packages" in (getattr(module, "__file__", None) or "")}
print(*strangers)
"""

FIND_NAMES = """
import importlib, json, sys
def there(module, name):
    found = importlib.import_module(module)
    if hasattr(found, name):
        return True
    try:
        importlib.import_module(module + "." + name)
    except ImportError:
        return False
    return True
print(json.dumps([one for one in json.load(sys.stdin) if not there(*one[1:])]))
"""


# ---- it is complete ------------------------------------------------------------------------------


@pytest.mark.parametrize("python", fit())
def test_every_module_of_the_bundle_is_imported(python: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, "-W", "error", "-I", "-S", "-c", IMPORT_EVERYTHING, pilot_bundle()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


GUARD_ALONE = """
import sys
sys.path[:0] = [sys.argv[1]]
before = set(sys.modules)
from pilotage.pilot.guard import guard
print(*{name.split(".")[0] for name in set(sys.modules) - before})
"""
HEAVY = {
    *("argparse", "asyncio", "collections", "contextlib", "dataclasses", "enum", "functools"),
    *("json", "logging", "pathlib", "re", "signal", "socket", "subprocess", "typing"),
}


@pytest.mark.parametrize("python", fit())
def test_a_guard_takes_nothing_with_it_that_is_large(python: str, tmp_path: Path) -> None:
    said = subprocess.run(
        [python, "-I", "-S", "-c", GUARD_ALONE, pilot_bundle()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert said.returncode == 0, said.stderr
    assert HEAVY & set(said.stdout.split()) == set(), "it would not fit into 12 MB"


@dataclass(frozen=True)
class Imported:
    """One import of a file: of a module, or with `name` of something in it."""

    where: str
    module: str
    name: str
    guarded: bool  # it may fail, or is for some versions only


def imports(files: Mapping[str, str]) -> Iterator[Imported]:
    """Yield every import of these files, name → text, in any branch and any function."""
    for file, text in files.items():
        module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        package = module if file.endswith("/__init__.py") else module.rpartition(".")[0]
        yield from _of_node(ast.parse(text), file, package, guarded=False)


def _of_node(node: ast.AST, file: str, package: str, *, guarded: bool) -> Iterator[Imported]:
    if isinstance(node, ast.Import):
        for one in node.names:
            yield Imported(f"{file}:{node.lineno}", one.name, "", guarded)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        parts = [*(above if node.level else ()), *([node.module] if node.module else ())]
        for one in node.names:
            yield Imported(f"{file}:{node.lineno}", ".".join(parts), one.name, guarded)
    for field, value in ast.iter_fields(node):
        under = guarded or _guards(node, field)
        children = cast(list[object], value) if isinstance(value, list) else [value]
        for child in children:
            if isinstance(child, ast.AST):
                yield from _of_node(child, file, package, guarded=under)


def _guards(node: ast.AST, field: str) -> bool:
    """Say whether what stands in this part of `node` may fail, or is for some versions only."""
    if isinstance(node, ast.Try):
        caught = " ".join(ast.unparse(one.type) for one in node.handlers if one.type)
        return field == "body" and ("ImportError" in caught or "ModuleNotFoundError" in caught)
    if isinstance(node, ast.If):
        return field != "test" and any(
            word in ast.unparse(node.test) for word in ("version_info", "TYPE_CHECKING", "_PEP_")
        )
    return False


def missing(files: Mapping[str, str]) -> list[str]:
    """Return the imports of these files that neither the bundle nor Python 3.9 has."""
    there = bundled()
    ours = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in there}
    return [
        f"{one.where} {one.module}"
        for one in imports(files)
        if one.module not in ours | LIBRARY and not (one.guarded and one.module in OPTIONAL)
    ]


@functools.cache
def bundled() -> dict[str, str]:
    with zipfile.ZipFile(pilot_bundle()) as archive:
        return {
            name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")
        }


def test_every_import_in_any_branch_is_in_the_bundle_or_in_python_3_9() -> None:
    files = bundled()

    assert len(list(imports(files))) > 300
    assert missing(files) == []


# Each line alone would stop a pilot on some node; the last two would not.
FOREIGN = {
    "import msgspec": True,
    "def f():\n    import tomllib": True,
    "try:\n    import msgspec\nexcept ImportError:\n    pass": True,
    "try:\n    pass\nexcept ImportError:\n    import socks": True,
    "if x:\n    import asyncio.taskgroups": True,
    "from . import nothing_of_ours\nfrom .nothing import x": True,
    "from pilotage.central import app": True,
    "import socks": True,
    "try:\n    import socks\nexcept ImportError:\n    pass": False,
    "from ..proto import ids\nimport os.path\nfrom pilotage.pilot import start": False,
}


@pytest.mark.parametrize("text", FOREIGN)
def test_a_foreign_import_is_found(text: str) -> None:
    found = missing({"pilotage/pilot/fresh.py": text})

    assert bool(found) is FOREIGN[text]


@pytest.mark.skipif(oldest_fit() is None, reason="no Python 3.9 here")
def test_every_name_that_is_imported_without_a_guard_is_there_in_python_3_9() -> None:
    wanted = [
        (one.where, one.module, one.name)
        for one in imports(bundled())
        if one.name not in ("", "*") and one.module in LIBRARY and not one.guarded
    ]
    found = subprocess.run(
        [str(oldest_fit()), "-I", "-S", "-c", FIND_NAMES],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=True,
    )

    assert len(wanted) > 200
    assert json.loads(found.stdout) == []


@pytest.mark.skipif(oldest_fit() is None, reason="no Python 3.9 here")
def test_the_table_of_python_3_9_names_what_is_there() -> None:
    code = "import importlib.util as u, sys; print(*[n for n in sys.stdin.read().split() if "
    code += "not n.startswith('__') and u.find_spec(n) is None])"
    said = subprocess.run(
        [str(oldest_fit()), "-I", "-S", "-W", "ignore", "-c", code],
        input="\n".join(one for one in LIBRARY if "." not in one),
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.split() == []


# ---- it is the same everywhere -------------------------------------------------------------------


def checkout(folder: Path) -> Path:
    """Copy what the bundle is made of, with the litter of a checkout that is worked in."""
    for name in ("pilot", "proto", "deploy/pilot"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "pilotage").mkdir()
    shutil.copy(ROOT / "pilotage" / "__init__.py", folder / "pilotage")
    for name in ("LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for litter in ("pilot/start.py~", "pilot/.start.py.swp", "pilot/notes.txt", "pilot/x.pyc"):
        (folder / litter).write_bytes(b"\0")
    for path in (folder / "pilot").rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (2_000_000_000, 2_000_000_000))
    return folder


def built(root: Path, python: str, target: Path, *, umask: int = 0o022, **env: str) -> str:
    """Build with another Python, which borrows our packages; return the hash of bundle and script.

    The modes of both are checked as well.
    """
    code = "import runpy, sys; sys.path.append(sys.argv[1]); sys.argv = sys.argv[2:]; "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    packages = sysconfig.get_paths()["purelib"]
    done = subprocess.run(
        [python, "-I", "-S", "-c", code, packages, root / "deploy/pilot/bundle.py", target],
        cwd=target.parent,
        env={"PATH": os.environ["PATH"], **env},
        umask=umask,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    both = (target, target.with_name("pilot.sh"))
    assert [oct(one.stat().st_mode & 0o777) for one in both] == ["0o755", "0o755"]
    return hashlib.sha256(b"".join(one.read_bytes() for one in both)).hexdigest()


def test_the_same_sources_give_the_same_bytes_whoever_builds_them(tmp_path: Path) -> None:
    there = checkout(tmp_path / "a checkout é")
    here = tmp_path / "out"
    here.mkdir()
    hashes = {
        "here": built(ROOT, sys.executable, here / "pilot.pyz"),
        "there": built(there, sys.executable, here / "pilot.pyz"),
        "umask": built(ROOT, sys.executable, here / "pilot.pyz", umask=0o077),
        "locale": built(ROOT, sys.executable, here / "pilot.pyz", LC_ALL="tr_TR.ISO-8859-9"),
        "zone": built(ROOT, sys.executable, here / "pilot.pyz", TZ="Pacific/Kiritimati"),
        "hashing": built(ROOT, sys.executable, here / "pilot.pyz", PYTHONHASHSEED="7"),
    }
    for python in fit():
        hashes[python] = built(there, python, here / "pilot.pyz", LC_ALL="C", TZ="Asia/Kathmandu")

    assert set(hashes.values()) == {hashes["here"]}, hashes


def test_nothing_of_the_bundle_depends_on_a_compressor() -> None:
    with zipfile.ZipFile(pilot_bundle()) as archive:
        kinds = {one.compress_type for one in archive.infolist()}

    assert kinds == {zipfile.ZIP_STORED}


def test_other_sources_give_other_bytes(tmp_path: Path) -> None:
    there = checkout(tmp_path / "there")
    before = built(there, sys.executable, tmp_path / "pilot.pyz")
    with (there / "pilot" / "start.py").open("a") as file:
        file.write("\n")

    assert built(there, sys.executable, tmp_path / "pilot.pyz") != before


def test_a_checkout_builds_the_bundle_once_and_again_after_a_change() -> None:
    first = pilot_bundle()
    built = first.stat().st_mtime_ns
    pilot_bundle()
    assert first.stat().st_mtime_ns == built

    os.utime(first, ns=(0, 0))  # as if every source were newer

    assert pilot_bundle().stat().st_mtime_ns >= built
