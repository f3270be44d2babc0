"""What stands in comments beside or above the entries of a table in the source."""

import inspect
import re
from enum import Enum
from types import ModuleType

_ABOVE = r"^ *# (.+)\n *\"(\w+)\": "
_BESIDE = r"^    (\w+) = .*?  # (.+)$"


def above(module: ModuleType) -> dict[str, str]:
    """Return the comment on the line above each `"key": …` of a module."""
    source = inspect.getsource(module)
    return {key: note for note, key in re.findall(_ABOVE, source, re.MULTILINE)}


def beside(enum: type[Enum]) -> dict[str, str]:
    """Return the comment behind each member of an enum, by the name of the member."""
    return dict(re.findall(_BESIDE, inspect.getsource(enum), re.MULTILINE))
