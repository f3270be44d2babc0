"""Changes of the CWL library without which its time grows with the square of the jobs or files."""

import copy
from types import SimpleNamespace
from typing import Any

from cwltool import builder, command_line_tool
from ruamel.yaml.comments import CommentedMap


def change() -> None:
    """Change the library in this process."""
    modules: list[Any] = [command_line_tool, builder]
    modules[0].uniquename = _same_name
    modules[1].copy = SimpleNamespace(copy=copy.copy, deepcopy=_deepcopy)


def _same_name(stem: str, names: set[str] | None = None) -> str:
    """Return a name as it is. The library looks for a new number, from 1 on, for each job."""
    return stem


def _deepcopy(one: Any) -> Any:
    """Copy a binding without its value: the library copies a whole array for each element."""
    if isinstance(one, CommentedMap) and "datum" in one:
        return CommentedMap({key: value for key, value in one.items() if key != "datum"})
    return copy.deepcopy(one)
