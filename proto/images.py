"""What the path of a container image says of it, and so of the tools that can run it.

Stdlib only: the central asks for pilots that have such a tool, and a pilot says that it has one.
"""

from typing import Final

SIF: Final = "sif"  # one file of Apptainer or Singularity
TAR: Final = "tar"  # an archive, as `podman save` and `docker save` write it, or a tree in one
FOLDER: Final = "folder"  # an unpacked tree, as in /cvmfs/unpacked.cern.ch
KINDS: Final = (SIF, TAR, FOLDER)

_PREFIX: Final = "image:"
_ENDS: Final = {
    **dict.fromkeys((".sif", ".simg"), SIF),
    **dict.fromkeys((".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst"), TAR),
}


def kind_of(image: str) -> str:
    """Return which of KINDS an image is, by the end of its path."""
    return next((kind for end, kind in _ENDS.items() if image.lower().endswith(end)), FOLDER)


def tag_of(kind: str) -> str:
    """Return the tag of pilots that can run images of this kind."""
    return f"{_PREFIX}{kind}"


def is_of_images(tag: str) -> bool:
    """Whether a pilot says by this tag which images it can run."""
    return tag.startswith(_PREFIX)
