"""The kind of a container image, from its path, and the tag of pilots that can run this kind.

Stdlib only: the central asks for pilots with this tag, and pilots offer it.
"""

from typing import Final

SIF: Final = "sif"  # a single file of Apptainer or Singularity
TAR: Final = "tar"  # an archive from `podman save` or `docker save`, or of an unpacked tree
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
    """Return whether a tag of pilots is about the images that they can run."""
    return tag.startswith(_PREFIX)
