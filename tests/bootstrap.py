"""The Python part of `pilot.sh` as a module: it stands in no package, for it is sent as text."""

import importlib.util
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[1] / "deploy" / "pilot" / "bootstrap.py"


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("pilotage_bootstrap", _FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bootstrap: Any = _load()
