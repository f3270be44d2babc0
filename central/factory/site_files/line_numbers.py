"""Finds the line of a site's file that a driver or a source refuses."""

import re
from pathlib import Path
from typing import Final

import yaml

from pilotage.proto.decoding.complaints import steps
from pilotage.proto.decoding.strict_yaml import line_of

from ...regular_files import read_regular
from .sites import FILE_MAX_BYTES

_FIELD: Final = re.compile(r"[^: ]+(?=[: ])")


def located(file: Path, element: str, why: str) -> str:
    """Return a fault of an element or a site with its file and line.

    `why` begins with the field, such as `options.partition: …`. This reads the file, so do not call
    it on the event loop.
    """
    before = ("elements", element) if element else ()
    words = ".".join((*before, why))
    found = _FIELD.match(why)
    if found is None:
        return f"{file}: {words}"
    place = (int(step) if step.isdigit() else step for step in steps(f"$.{found[0]}"))
    try:
        text = read_regular(file, FILE_MAX_BYTES).decode("utf-8")
        line = line_of(text, (*before, *place))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):  # the file has just changed
        return f"{file}: {words}"
    return f"{file}: {words}" if line is None else f"{file}:{line}: {words}"
