"""The kind of a container image, from its path, and the tag of pilots that can run this kind.

Stdlib only: the central asks for pilots with this tag, and pilots offer it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SIF: Final = "sif"  # a single file of Apptainer or Singularity
TAR: Final = "tar"  # an archive from `podman save` or `docker save`, or of an unpacked tree
FOLDER: Final = "folder"  # an unpacked tree, as in /cvmfs/unpacked.cern.ch
DOCKER: Final = "docker"  # in a registry: docker://NAME:TAG
KINDS: Final = (SIF, TAR, FOLDER, DOCKER)

SCHEME: Final = "docker://"
NO_REGISTRY: Final = "none"  # as a list of registries: pilots fetch no images
REGISTRY_FORM: Final = r"[a-z0-9](?:[a-z0-9.-]{0,98}[a-z0-9])?(?::[0-9]{1,5})?"
REFERENCE_FORM: Final = (
    "docker://NAME:TAG or docker://REGISTRY/NAME@sha256:DIGEST, as in docker://python:3.11 or "
    "docker://ghcr.io/owner/name:1.0"
)

_PREFIX: Final = "image:"
_ENDS: Final = {
    **dict.fromkeys((".sif", ".simg"), SIF),
    **dict.fromkeys((".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst"), TAR),
}
_HUB: Final = "docker.io"  # the registry of names without one
_HUB_NAMES: Final = frozenset({_HUB, "index.docker.io", "registry-1.docker.io"})
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REGISTRY: Final = re.compile(REGISTRY_FORM)
_REPOSITORY: Final = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_LOOPBACK: Final = re.compile(r"(localhost|127(\.[0-9]{1,3}){3})(:[0-9]+)?")


class BadReference(ValueError):
    """No registry can have an image of this name."""


@dataclass(frozen=True)
class ImageReference:
    """An image in a registry. The digest counts if there is one, otherwise the tag."""

    registry: str
    repository: str
    tag: str
    digest: str = ""  # sha256:…

    @property
    def name(self) -> str:
        """The registry and the repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def is_local(self) -> bool:
        """Whether the registry is on this machine, so that it may use plain HTTP."""
        return _LOOPBACK.fullmatch(self.registry) is not None

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def read_reference(image: str) -> ImageReference:
    """Return the image that docker://… names. Raises BadReference."""
    rest, has_digest, digest = image[len(SCHEME) :].partition("@")
    if has_digest and not _DIGEST.fullmatch(digest):
        raise BadReference("the digest after @ must be sha256: and 64 digits from 0-9a-f")
    first, slash, others = rest.partition("/")
    registry = _HUB
    if slash and (first.lower() == "localhost" or any(sign in first for sign in ".:")):
        registry, rest = first.lower(), others
        if not _REGISTRY.fullmatch(registry):
            raise BadReference(f"{first!r} is not the name of a registry, HOST or HOST:PORT")
    repository, has_tag, tag = rest.partition(":")
    if not _REPOSITORY.fullmatch(repository):
        raise BadReference("NAME must be lower-case letters and digits with . _ - and / in it")
    if has_tag and not _TAG.fullmatch(tag):
        raise BadReference("TAG must be at most 128 letters, digits and _ . -")
    if registry in _HUB_NAMES:
        registry = _HUB
        repository = repository if "/" in repository else f"library/{repository}"
    return ImageReference(registry, repository, tag or "latest", digest)


def is_digest(text: str) -> bool:
    """Return whether a text is sha256:… with a whole digest."""
    return _DIGEST.fullmatch(text) is not None


def kind_of(image: str) -> str:
    """Return which of KINDS an image is, by the begin or the end of its path."""
    if image.startswith(SCHEME):
        return DOCKER
    return next((kind for end, kind in _ENDS.items() if image.lower().endswith(end)), FOLDER)


def tag_of(kind: str) -> str:
    """Return the tag of pilots that can run images of this kind."""
    return f"{_PREFIX}{kind}"


def fetching_tags(registries: Sequence[str]) -> tuple[str, ...]:
    """Return the tags of pilots that may fetch from these registries; empty: from all."""
    allowed = [one for one in registries if one != NO_REGISTRY]
    if not allowed:
        return () if registries else (tag_of(DOCKER),)
    return tuple(f"{tag_of(DOCKER)}/{one}" for one in allowed)


def may_fetch(registries: Sequence[str], registry: str) -> bool:
    """Return whether a pilot with this list may fetch from a registry."""
    return not registries or registry in registries


def tags_wanted(image: str) -> str:
    """Return the expression for the tags of pilots that can run an image."""
    any_registry = tag_of(kind_of(image))
    if kind_of(image) != DOCKER:
        return any_registry
    try:
        registry = read_reference(image).registry
    except BadReference:  # the check of the job refuses it, with the reason
        return any_registry
    return f"({any_registry} | {any_registry}/{registry})"


def is_of_images(tag: str) -> bool:
    """Return whether a tag of pilots is about the images that they can run."""
    return tag.startswith(_PREFIX)
