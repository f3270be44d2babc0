"""Compile the matcher with mypyc: `compile.py [FOLDER]`, by default into the checkout's matcher/.

The sources are still what people read, test and change. The compiled form is a faster copy, and is
used only while it fits the sources (matcher/compiled.py). Needs mypy, setuptools, a C compiler and
the headers of Python.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]

# Modules that stay Python; all others are compiled.
LEFT = {
    "__init__": "the package itself",
    "compiled": "finds the others",
    "types": "msgspec needs classes of Python",
    "rules": "msgspec needs classes of Python",
    "limits/active_job": "msgspec needs classes of Python",
    "explanation/matcher_view": "msgspec needs classes of Python",
    "explanation/free_capacity": "msgspec needs classes of Python",
    "explanation/advice": "seldom called",
    "explanation/job_explanation": "msgspec needs classes of Python",
    "clauses/clause_table": "a table, read once",
    "clauses/tag_expressions": "a kind of ValueError",
    "errors": "kinds of built-in errors",
    "explanation/offer_explanation": "seldom called",
}

SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup
modules = mypycify(
    ["--config-file=mypy.ini", *sys.argv[3:]], opt_level="3", group_name="pilotage_matcher"
)
setup(
    name="compiled", version="0", packages=[], ext_modules=modules,
    script_args=["--quiet", "build_ext", "--build-lib", sys.argv[1], "--build-temp", sys.argv[2]],
)
"""


def compile_into(folder: Path, root: Path) -> None:
    """Compile the matcher of a checkout into a folder.

    Raises CalledProcessError if that fails; the output is on stderr.
    """
    compiled = _room(root)
    room = root / "matcher"
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        package = work / "pilotage"
        package.mkdir()
        (package / "__init__.py").touch()
        for part in ("matcher", "proto"):
            shutil.copytree(
                root / part,
                package / part,
                ignore=shutil.ignore_patterns("_compiled*", "__pycache__"),
            )
        (work / "mypy.ini").write_text("[mypy]\n")
        (work / "setup.py").write_text(SETUP)
        names = [
            path.relative_to(room).with_suffix("").as_posix() for path in compiled.sources(room)
        ]
        modules = [
            f"pilotage/matcher/{name}.py"
            for name in names
            if name not in LEFT and not name.endswith("/__init__")
        ]
        subprocess.run(
            (sys.executable, "setup.py", "out", "temp", *modules),
            cwd=work,
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": "", "PYTHONSAFEPATH": ""},
        )
        built = work / "out"
        (built / compiled.STAMP).write_text(compiled.stamp(package / "matcher"), "ascii")
        for module in (built / "pilotage" / "matcher").iterdir():
            module.rename(built / module.name)
        shutil.rmtree(built / "pilotage")
        beside = folder.with_name(f"{folder.name}-new")  # the final name never has half of it
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(built, beside)
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)


def missing() -> str:
    """Return what a compilation lacks; empty: nothing."""
    if importlib.util.find_spec("mypyc") is None or importlib.util.find_spec("setuptools") is None:
        return "mypy and setuptools (make dev)"
    if shutil.which(os.environ.get("CC", "cc")) is None:
        return "a C compiler (apt-get install gcc libc6-dev)"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "the headers of this Python (apt-get install python3-dev)"
    return ""


def _room(root: Path) -> ModuleType:
    """Load the module that finds the compiled form; the package itself may not be importable."""
    path = root / "matcher" / "compiled.py"
    spec = importlib.util.spec_from_file_location("matcher_compiled", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Compile, unless it is done already or not possible here."""
    compiled = _room(ROOT)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "matcher" / compiled.FOLDER)
    folder: Path = parser.parse_args().folder
    stamp = folder / compiled.STAMP
    if stamp.is_file() and stamp.read_text("ascii") == compiled.stamp(ROOT / "matcher"):
        return 0
    if lacking := missing():
        print(
            f"The matcher runs interpreted, at about half the speed: compiling it needs {lacking}."
        )
        return 1 if os.environ.get("CI") else 0
    print("Compiling the matcher (half a minute, after each change of its sources).")
    compile_into(folder, ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
