"""The parts of the node that an image shows, without those that are hidden from payloads.

A path may be a link, and payloads of the same user can create links. So the target of a path on
this node counts, and is also what is mounted.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..ports import OutfitMissing
from .isolation import cover

PROC = "/proc"  # the node's own: its processes, and through them their folders
# Characters at which Apptainer and podman split a mount: the part before one was not checked.
SEPARATORS = ',:"\\'


def resolved(what: str, path: str, hidden: Iterable[Path]) -> str:
    """Return the target of a path. Raises OutfitMissing if payloads must not see it."""
    real = os.path.realpath(path)
    leads = "" if real == path else f" leads to {real}, which"
    if real == "/":
        raise OutfitMissing(
            f"{what} {path}{leads} is the root folder of the node: no payload may see it"
        )
    for one in (*map(os.path.realpath, hidden), PROC):
        if is_in(real, one):
            raise OutfitMissing(f"{what} {path}{leads} is hidden from payloads by the pilot")
        if is_in(one, real):
            raise OutfitMissing(
                f"{what} {path}{leads} contains paths that the pilot hides from payloads"
            )
    return real


def is_in(path: str, folder: str) -> bool:
    """Return whether a path is that folder or below it; both without links."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def covers(to: str, of: str, hidden: Iterable[Path]) -> list[str]:
    """Return bubblewrap's options that cover hidden paths that show where `of` is mounted."""
    words: list[str] = []
    top = os.path.realpath(of)
    for one in map(os.path.realpath, hidden):
        if is_in(one, top):
            words += cover(one, to + one[len(top.rstrip("/")) :])
    return words


def check_mountable(shown: Sequence[tuple[str, str]], hidden: Iterable[Path]) -> None:
    """Raise OutfitMissing if a tool without covers cannot show this safely."""
    for name, real in shown:
        if any(sign in name + real for sign in SEPARATORS):
            raise OutfitMissing(
                f"{name}: it cannot show a folder with one of {SEPARATORS} in its name"
            )
        for one in map(os.path.realpath, hidden):
            if is_in(one, os.path.realpath(real)):
                raise OutfitMissing(f"{name} contains paths that the pilot hides from payloads")
