"""Adds files to the wheel beside its sources.

`pilot.pyz` and `pilot.sh`: the central of an installed pilotage hands them out to pilots. If
PILOTAGE_COMPILE=1 is set, also the compiled form of the matcher. Such a wheel is for one Python
version on one kind of machine.
"""

import importlib.util
import os
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PILOT = ("pilot.pyz", "pilot.sh")
COMPILED = "matcher-compiled"  # folder beside the wheel during the build


def is_compiled() -> bool:
    return os.environ.get("PILOTAGE_COMPILE") == "1"


class WheelParts(BuildHookInterface[Any]):
    """Builds the parts beside the wheel; an editable install builds them on demand instead."""

    def dependencies(self) -> list[str]:
        return ["mypy>=1.18", "setuptools>=65.5"] if is_compiled() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root, folder = Path(self.root), Path(self.directory)
        target = folder / "pilot.pyz"
        _module(root / "deploy" / "pilot" / "bundle.py").build(target, root)
        for name in PILOT:
            build_data["force_include"][str(folder / name)] = f"pilotage/{name}"
        if is_compiled():
            _module(root / "deploy" / "matcher" / "compile.py").compile_into(
                folder / COMPILED, root
            )
            build_data["force_include"][str(folder / COMPILED)] = "pilotage/matcher/_compiled"
            build_data["pure_python"], build_data["infer_tag"] = False, True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        for name in PILOT:
            (Path(self.directory) / name).unlink(missing_ok=True)
        shutil.rmtree(Path(self.directory) / COMPILED, ignore_errors=True)


def _module(path: Path) -> ModuleType:
    """Load a module of deploy/, which is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
