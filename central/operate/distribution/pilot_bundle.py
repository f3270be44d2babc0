"""Finds `pilot.pyz` in an installed pilotage, or builds it from the running checkout.

The central never imports the pilot: it hands out this file, which an interpreter runs.
"""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Final

import pilotage

SCRIPT: Final = "pilot.sh"  # beside the bundle


class NoBundle(Exception):
    """This installation has no pilot. Reinstall pilotage, or run from a checkout."""

    def __init__(self, package: Path) -> None:
        super().__init__(f"no pilot.pyz in {package}, and no checkout around it to build one from")


def pilot_bundle() -> Path:
    """Return the file from which pilots are started.

    A checkout builds it in `build/` when a source is newer, with bytecode for this Python, so that
    pilots start quickly. Raises NoBundle.
    """
    package = Path(pilotage.__file__).resolve().parent
    shipped = package / "pilot.pyz"
    if shipped.is_file():
        return shipped
    root = package.parent
    builder = root / "deploy" / "pilot" / "bundle.py"
    if not builder.is_file():
        raise NoBundle(package)
    bundle = _load(builder)
    target = root / "build" / "pilot.pyz"
    if not target.with_name(SCRIPT).is_file() or _newest(bundle.sources(root)) >= _written(target):
        bundle.build(target, root, with_bytecode=True)
    return target


def _written(target: Path) -> float:
    return target.stat().st_mtime if target.is_file() else 0.0


def _newest(files: Iterable[Path]) -> float:
    """Return the time of the newest of `files`, and of additions and removals beside them."""
    paths = set(files)
    return max(path.stat().st_mtime for path in paths | {path.parent for path in paths})


def _load(path: Path) -> ModuleType:
    """Load the builder, which is in no package because the wheel's build hook uses it as well."""
    spec = importlib.util.spec_from_file_location("pilotage_pilot_bundle", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
