"""Images of registries on this node: an unpacked tree on CVMFS, or a fetched image in the cache.

    CVMFS                    the tree that unpacked.cern.ch has for the same name, without a fetch
    apptainer, singularity   a .sif file, converted when it is fetched
    podman                   a store with just this image, which payloads use read-only

Fetches are for a digest, never for a tag, so that both tools check the content.
"""

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from pilotage.proto.images import ImageReference

from ..clock import BootClock
from ..ports import OutfitMissing
from . import images, registries
from .image_cache import ImageCache, Watch
from .images import FetchedImage, PodmanRuntime
from .isolation import dies_with_guard
from .software import DIRECTORY, Look, place
from .tools import PODMAN, NodeTools
from .trial import try_out
from .wrapping import Wrapping, clean

UNPACKED = "/cvmfs/unpacked.cern.ch"
TAG_KEPT_S = 600.0  # one question to a registry for many short payloads
_NAMES_ON_CVMFS = {"docker.io": "registry.hub.docker.com"}
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_SIF = "image.sif"
_STORE = "store"


class FetchedImages:
    """Finds and fetches images of registries."""

    def __init__(self, tools: NodeTools, look: Look, environ: Mapping[str, str]) -> None:
        self._clock = BootClock()
        self._tools, self._look, self._environ = tools, look, environ
        self._cache = ImageCache(
            Path(tools.image_cache), tools.image_cache_bytes, patience_s=tools.fetch_patience_s
        )
        self._digests: dict[str, tuple[float, str]] = {}  # of tags: when asked, and the answer
        self._asking = threading.Lock()

    def on_cvmfs(self, wanted: ImageReference) -> str:
        """Return the unpacked tree of an image; empty if there is none."""
        name = f"{_NAMES_ON_CVMFS.get(wanted.registry, wanted.registry)}/{wanted.repository}"
        rest = f"@{wanted.digest}" if wanted.digest else f":{wanted.tag}"
        root, tree = (
            place(one, self._tools.cvmfs_root) for one in (UNPACKED, f"{UNPACKED}/{name}{rest}")
        )
        return tree if self._look([root, tree]).get(tree) == DIRECTORY else ""

    def pinned(self, wanted: ImageReference) -> ImageReference:
        """Return the image with the digest that its tag has now. Raises OutfitMissing."""
        if wanted.digest:
            return wanted
        with self._asking:
            now = self._clock.now()
            asked, digest = self._digests.get(str(wanted), (0.0, ""))
            if not digest or now - asked > TAG_KEPT_S:
                digest = registries.digest_of(wanted)
                self._digests[str(wanted)] = (now, digest)
        return ImageReference(wanted.registry, wanted.repository, wanted.tag, digest)

    def fetched(self, rung: str, wanted: ImageReference) -> FetchedImage:
        """Return a pinned image in the form for a tool. Raises OutfitMissing."""
        is_store = rung == PODMAN
        name = f"{wanted.digest.partition(':')[2]}-{_STORE if is_store else 'sif'}"

        def fetch(folder: Path, watch: Watch) -> None:
            if is_store:
                self._pull_store(wanted, folder, watch)
            else:
                self._pull_sif(rung, wanted, folder, watch)

        found = self._cache.get(name, fetch)
        return FetchedImage(found / (_STORE if is_store else _SIF), self._cache.lock_of(name))

    def _pull_store(self, wanted: ImageReference, folder: Path, watch: Watch) -> None:
        (folder / "containers.conf").write_text(images.CONTAINERS_CONF)
        podman = PodmanRuntime(self._tools.image_tools[PODMAN], folder)
        words = ("--quiet", *(("--tls-verify=false",) if wanted.is_local else ()))
        pull = podman.command("pull", *words, f"docker://{wanted}")
        self._run(wanted, pull, dict(podman.own()), watch)

    def _pull_sif(self, rung: str, wanted: ImageReference, folder: Path, watch: Watch) -> None:
        name, tmp = rung.upper(), folder / "tmp"
        tmp.mkdir()
        own = {"HOME": str(folder), f"{name}_TMPDIR": str(tmp), f"{name}_CACHEDIR": str(tmp)}
        words = ("--disable-cache", *(("--no-https",) if wanted.is_local else ()))
        program, file = self._tools.image_tools[rung], str(folder / _SIF)
        pull = (*dies_with_guard(), program, "pull", *words, file, f"docker://{wanted}")
        self._run(wanted, pull, own, watch)
        if not os.path.isfile(file):
            raise OutfitMissing(f"image {wanted}: {rung} has fetched nothing")

    def _run(
        self, wanted: ImageReference, pull: tuple[str, ...], own: Mapping[str, str], watch: Watch
    ) -> None:
        proxies = {name: self._environ[name] for name in _PROXIES if name in self._environ}
        wrapping = Wrapping(pull, {**clean({}), **proxies, **own})
        done = try_out(wrapping, (), patience_s=self._tools.fetch_patience_s, watch=watch)
        if done.code != 0:
            why = done.said or f"the fetch ended with code {done.code}"
            raise OutfitMissing(f"image {wanted} cannot be fetched: {why}")
