"""Find `pilot.pyz`: inside an installed pilotage, or built from the checkout that runs.

The central never imports the pilot: it hands out this file, which an interpreter then starts.
"""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Final

import pilotage

SCRIPT: Final = "pilot.sh"  # beside the bundle


class NoBundle(Exception):
    """This installation has no pilot to start. Install pilotage anew, or run from a checkout."""

    def __init__(self, package: Path) -> None:
        super().__init__(f"no pilot.pyz in {package}, and no checkout around it to build one from")


def pilot_bundle() -> Path:
    """Return the file that pilots are started from.

    A checkout builds it into `build/`, and anew whenever a source is newer. It has bytecode for
    this Python then, so that pilots start quickly. Raises NoBundle.
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
    """Return when the newest of `files` was written, or a file beside it added or removed."""
    paths = set(files)
    return max(path.stat().st_mtime for path in paths | {path.parent for path in paths})


def _load(path: Path) -> ModuleType:
    """Load the builder, which stands in no package: the wheel's build hook uses it as well."""
    spec = importlib.util.spec_from_file_location("pilotage_pilot_bundle", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
