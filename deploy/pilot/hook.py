"""Put `pilot.pyz` into the wheel: the central of an installed pilotage serves it to elements."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PilotBundle(BuildHookInterface[Any]):
    """Builds the bundle beside the wheel; an editable install builds it on demand instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        target = Path(self.directory) / "pilot.pyz"
        _bundle(Path(self.root)).build(target, Path(self.root))
        build_data["force_include"][str(target)] = "pilotage/pilot.pyz"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        (Path(self.directory) / "pilot.pyz").unlink(missing_ok=True)


def _bundle(root: Path) -> ModuleType:
    """Load the module beside this one, which no package holds."""
    path = root / "deploy" / "pilot" / "bundle.py"
    spec = importlib.util.spec_from_file_location("pilot_bundle", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
