"""Digests of container images, if this machine can see the images.

An image in a registry may have its digest in its name. Other images are paths on nodes. If such an
image is also a file on this machine, the file is read. If the path leads to a folder that has a
digest as its name, as in /cvmfs/unpacked.cern.ch, that is the digest. The digests of other images
are unknown until a node sees them.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pilotage.proto.images import SCHEME

from .files import sha256_of

_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")


def digests_of(images: Iterable[str]) -> dict[str, str]:
    """Return `sha256:…` of each image on this machine.

    It reads whole files, so do not call it on an event loop.
    """
    found = {image: _digest(image) for image in sorted(set(images)) if "{" not in image}
    return {image: f"sha256:{digest}" for image, digest in found.items() if digest}


def _digest(image: str) -> str:
    if image.startswith(SCHEME):
        return image.partition("@sha256:")[2]  # a tag can name another image tomorrow
    try:
        real = Path(image).resolve(strict=True)
        if real.is_dir():
            return real.name if _DIGEST.match(real.name) else ""
        if not real.is_file():
            return ""
        with real.open("rb") as stream:
            return sha256_of(stream)
    except (OSError, ValueError, RuntimeError):
        return ""  # not on this machine, not readable, or not a path
