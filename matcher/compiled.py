"""The compiled form of this room, where there is one that was made of these very sources.

`deploy/matcher/compile.py` makes it: the same modules, by mypyc, about twice as fast. It counts
only while its stamp names this Python and all sources as they stand: who edits one runs what is
written, not what was compiled before. What only reads these modules cannot tell the difference.
"""

import hashlib
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Final

FOLDER: Final = "_compiled"
STAMP: Final = "made-of"
COMMON: Final = "pilotage_matcher__mypyc"  # what all compiled modules share, a module of its own
SWITCH: Final = "PILOTAGE_MATCHER"
INTERPRETED: Final = "interpreted"  # what the switch says to do without


def stamp(room: Path) -> str:
    """Return what a compiled form of the sources of a room must say that it was made of.

    Numbers of `proto`, which stands beside it, are in the compiled form as well.
    """
    made_of = hashlib.sha256()
    for part in (room, room.parent / "proto"):
        for source in sources(part):
            made_of.update(f"{source.relative_to(part).as_posix()}\0".encode())
            made_of.update(source.read_bytes())
    return f"{sys.implementation.cache_tag} {sys.platform} {made_of.hexdigest()}\n"


def sources(room: Path) -> list[Path]:
    """Return the sources of a room and of its sub-rooms, without those of a compiled form."""
    folders = [room, *(p for p in room.iterdir() if p.is_dir() and not p.name.startswith("_"))]
    return sorted(source for folder in folders for source in folder.glob("*.py"))


def find(room: Path) -> str | None:
    """Return the folder of the compiled form of a room, None where the sources are to be run.

    What all its modules share is loaded then.
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
    except ImportError:  # damaged, or of another machine
        sys.modules.pop(COMMON, None)
        return False
    return True
