"""The compiled form of this room, if there is one for exactly these sources.

`deploy/matcher/compile.py` builds it with mypyc: the same modules, about twice as fast. It is used
only if its stamp names this version of Python and these sources. Thus an edited module runs as
written, not as compiled before. Code that imports these modules cannot tell the difference.
"""

import hashlib
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Final

FOLDER: Final = "_compiled"
STAMP: Final = "made-of"
# The module with the code that all compiled modules share.
COMMON: Final = "pilotage_matcher__mypyc"
SWITCH: Final = "PILOTAGE_MATCHER"
INTERPRETED: Final = "interpreted"  # value of the switch: do not use the compiled form


def stamp(room: Path) -> str:
    """Return the stamp of a compiled form: this Python, and a hash of the sources.

    The hash covers `proto` beside the room too, because the compiled form contains its constants.
    """
    made_of = hashlib.sha256()
    for part in (room, room.parent / "proto"):
        for source in sources(part):
            made_of.update(f"{source.relative_to(part).as_posix()}\0".encode())
            made_of.update(source.read_bytes())
    return f"{sys.implementation.cache_tag} {sys.platform} {made_of.hexdigest()}\n"


def sources(room: Path) -> list[Path]:
    """Return the sources of a room and its sub-rooms, without those of a compiled form."""
    folders = [room, *(p for p in room.iterdir() if p.is_dir() and not p.name.startswith("_"))]
    return sorted(source for folder in folders for source in folder.glob("*.py"))


def find(room: Path) -> str | None:
    """Return the folder of the compiled form of a room; None if the sources must be run.

    It also loads the module that all compiled modules share.
    """
    folder = room / FOLDER
    if os.environ.get(SWITCH) == INTERPRETED or not folder.is_dir():
        return None
    try:
        made_of = (folder / STAMP).read_text("ascii")
        if made_of != stamp(room):
            return None
    except (OSError, ValueError):
        return None
    return str(folder) if _load_common(folder) else None


def _load_common(folder: Path) -> bool:
    found = next(folder.glob(f"{COMMON}.*"), None)
    spec = spec_from_file_location(COMMON, found) if found is not None else None
    if spec is None or spec.loader is None:
        return False
    try:
        sys.modules[COMMON] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[COMMON])
    except ImportError:  # damaged, or built for another machine
        sys.modules.pop(COMMON, None)
        return False
    return True
