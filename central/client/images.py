"""What container images are, as far as whoever submits can see them: their digests.

Images are paths on nodes. One that is a file here too is read; an unpacked tree whose path leads to
a folder that is named by a digest, as in /cvmfs/unpacked.cern.ch, has that one. Of others nothing
is known before a node sees them.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .files import sha256_of

_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")


def digests_of(images: Iterable[str]) -> dict[str, str]:
    """Return `sha256:…` of each image that can be seen here. Reads whole files: not on a loop."""
    found = {image: _digest(image) for image in sorted(set(images)) if "{" not in image}
    return {image: f"sha256:{digest}" for image, digest in found.items() if digest}


def _digest(image: str) -> str:
    try:
        real = Path(image).resolve(strict=True)
        if real.is_dir():
            return real.name if _DIGEST.match(real.name) else ""
        if not real.is_file():
            return ""
        with real.open("rb") as stream:
            return sha256_of(stream)
    except (OSError, ValueError, RuntimeError):
        return ""  # not here, not ours to read, or no path at all
