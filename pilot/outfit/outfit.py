"""The outfit of a payload: its image, its software, its modules.

They are searched for before it starts. That may take long, so it happens in a thread beside the
pilot. If one is missing or does not work, the attempt ends with a message that names it.
"""

import asyncio
import functools
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from pilotage.proto.images import (
    DOCKER,
    FOLDER,
    BadReference,
    ImageReference,
    kind_of,
    may_fetch,
    read_reference,
)
from pilotage.proto.messages import Assignment

from ..files.token_files import tokens_folder
from ..guard import guard, processes
from ..ports import Outfit, OutfitMissing
from . import exposure, images, isolation, modules, software
from .environment import environment_of
from .fetched_images import FetchedImages
from .images import ImageMounts, ImagePrefix, PodmanRuntime
from .software import DIRECTORY, Look, Processor, Software
from .tools import CONTAINERS, PODMAN, RUNGS, NodeTools
from .trial import TrialResult, try_out
from .wrapping import Wrapping, clean

TRIAL_PATIENCE_S = 120.0
LOAD_PATIENCE_S = 1_200.0  # an archive of some gigabytes, from a shared disk
_TRIAL = ("/bin/sh", "-c", 'test "$PROBE" = "it\'s" && exit 7')
_TRIAL_CODE = 7


class NodeOutfitter:
    """Driver of ports.Outfitter for the node that this process runs on."""

    def __init__(
        self,
        tools: NodeTools,
        state: Path,
        environ: Mapping[str, str],
        look: Look = software.looked,
    ) -> None:
        self._tools, self._environ, self._look = tools, environ, look
        self._processor = Processor(tools.architecture, tools.level)
        self._store_folder = state / CONTAINERS
        self._works: dict[tuple[str, str], bool] = {}  # rung, image: whether a trial succeeded
        self._ways = images.WAYS  # to run podman; the one that works, once it is known
        self._loaded: dict[tuple[str, int, int], str] = {}  # archive: its name in the store
        self._loading = threading.Lock()
        self._fetched = FetchedImages(tools, look, environ)

    async def outfit(self, assignment: Assignment, folder: Path) -> Outfit:
        return await _search_in_thread(functools.partial(self._outfit, assignment, folder))

    def _outfit(self, assignment: Assignment, folder: Path) -> Outfit:
        body, tools = assignment.body, self._tools
        found = software.find(
            body.software, self._processor, self._look, cvmfs_root=tools.cvmfs_root
        )
        given = {"PILOTAGE_SOFTWARE": ":".join(found.folders)} if found.folders else {}
        if body.image:
            given["PILOTAGE_IMAGE"] = body.image
            entry, image = self._entry(assignment, folder, found)
            return Outfit(entry.rung, given, on_path=found.on_path, entry=entry, image=image)
        if body.modules:
            given.update(self._modules(assignment, folder, given, found))
            return Outfit(tools.rung, given, shown=self._needed(found))
        return Outfit(tools.rung, given, on_path=found.on_path, shown=self._needed(found))

    def _needed(self, found: Software) -> tuple[str, ...]:
        """Return the paths of the node that a payload needs, in case they lie in a private /tmp."""
        root, init = (
            self._tools.cvmfs_root,
            modules.init_file(self._environ, self._tools.module_init),
        )
        inside = (one for one in found.folders if not exposure.is_in(one, root))
        return tuple(filter(isolation.is_private, (root, init, *inside)))

    # -- modules --------------------------------------------------------------------------------

    def _modules(
        self, assignment: Assignment, folder: Path, given: Mapping[str, str], found: Software
    ) -> dict[str, str]:
        bare = Outfit(self._tools.rung, given, on_path=found.on_path, shown=self._needed(found))
        environment = environment_of(assignment, folder, bare)
        marks = {guard.MARK: str(assignment.attempt_id)}

        def attempt(
            around: Mapping[str, str], words: Sequence[str], patience_s: float
        ) -> TrialResult:
            wrapping = isolation.wrap(
                self._tools.rung,
                around,
                marks=marks,
                folder=folder,
                hidden=self._tools.hidden,
                shown=bare.shown,
            )
            try:
                return try_out(wrapping, words, folder=str(folder / "work"), patience_s=patience_s)
            finally:
                for pid in processes.marked(guard.MARK, str(assignment.attempt_id)):
                    # Processes of a modulefile that are left on the plain rung.
                    processes.send(pid, 9)

        init = modules.init_file(self._environ, self._tools.module_init)
        changed = modules.load(assignment.body.modules, environment, init, attempt)
        return {"PATH": environment["PATH"], **changed}

    # -- images ---------------------------------------------------------------------------------

    def _entry(
        self, assignment: Assignment, folder: Path, found: Software
    ) -> tuple[ImagePrefix, str]:
        """Return how the payload gets into its image, and the image as it was found.

        It does so on the first rung with a successful trial.
        """
        said, root = assignment.body.image, self._tools.cvmfs_root
        place = ImageMounts(
            folder / "work",
            folder / "tmp",
            self._shown(found),
            tuple(self._tools.hidden),
            lent=(tokens_folder(folder),) if assignment.body.tokens else (),
        )
        gpus = bool(assignment.grant.gpus)
        if kind_of(said) != DOCKER:
            return self._entry_of_path(said, software.place(said, root), place, gpus)
        try:
            wanted = read_reference(said)
        except BadReference as why:
            raise OutfitMissing(f"image {said}: {why}") from None
        tree = self._fetched.on_cvmfs(wanted) if self._rungs(FOLDER) else ""
        if tree:
            return self._entry_of_path(said, tree, place, gpus)
        if not may_fetch(self._tools.registries, wanted.registry):
            raise OutfitMissing(f"image {wanted}: this pilot may not fetch from {wanted.registry}")
        wanted = self._fetched.pinned(wanted)
        enter = functools.partial(self._tried_fetched, wanted=wanted, place=place, gpus=gpus)
        return self._first_rung(DOCKER, str(wanted), enter), str(wanted)

    def _entry_of_path(
        self, said: str, image: str, place: ImageMounts, gpus: bool
    ) -> tuple[ImagePrefix, str]:
        kind = kind_of(image) if kind_of(said) != DOCKER else FOLDER
        self._check_there(said, image, kind)
        image = exposure.resolved("image", image, self._tools.hidden)
        enter = functools.partial(self._tried, image=image, place=place, gpus=gpus)
        return self._first_rung(kind, image, enter), image

    def _rungs(self, kind: str) -> list[str]:
        return [rung for rung in RUNGS[kind] if rung in self._tools.image_tools]

    def _first_rung(
        self, kind: str, image: str, enter: Callable[[str], ImagePrefix]
    ) -> ImagePrefix:
        if not self._rungs(kind):
            wanted = " or ".join(RUNGS[kind])
            raise OutfitMissing(f"image {image}: it needs {wanted}, but this node has none")
        failures: list[str] = []
        for rung in self._rungs(kind):
            try:
                return enter(rung)
            except OutfitMissing as why:
                failures.append(f"{rung}: {why}")
        raise OutfitMissing(f"image {image} does not run here: {'; '.join(failures)}")

    def _check_there(self, said: str, image: str, kind: str) -> None:
        root = software.repository(said)
        root = software.place(root, self._tools.cvmfs_root) if root else ""
        seen = self._look([one for one in (root, image) if one])
        if image not in seen:
            if root and root not in seen:
                raise OutfitMissing(software.not_mounted(said))
            raise OutfitMissing(f"image {image} is not on this node")
        if (seen[image] == DIRECTORY) != (kind == FOLDER):
            raise OutfitMissing(
                f"image {image} is a {seen[image]}, but its name means another kind"
            )

    def _shown(self, found: Software) -> tuple[tuple[str, str], ...]:
        """Return the visible paths of a payload: CVMFS, and its software elsewhere.

        Raises OutfitMissing.
        """
        root, hidden = self._tools.cvmfs_root, self._tools.hidden
        wanted = {
            one: exposure.resolved("software", one, hidden)
            for one in found.folders
            if one != root and not one.startswith(root + "/")
        }
        if os.path.exists(root):
            wanted[root] = root
        return tuple(sorted(wanted.items()))

    def _tried(self, rung: str, image: str, place: ImageMounts, gpus: bool) -> ImagePrefix:
        """Return how a rung enters an image, after a successful trial. Raises OutfitMissing."""
        program = self._tools.image_tools[rung]
        if rung != isolation.BUBBLEWRAP:
            _check_mountable(place)
        if rung == PODMAN:
            with self._loading:
                runtime = PodmanRuntime(program, self._store_folder)
                return self._podman(runtime, self._load(runtime, image), place)
        try:
            if rung == isolation.BUBBLEWRAP:
                entry = images.bubblewrap(program, image, place)
            else:
                vendor = self._tools.gpu_vendor if gpus else ""
                entry = images.apptainer(rung, program, image, place, vendor)
        except OSError as why:
            raise OutfitMissing(str(why)) from None
        return self._tried_once(rung, image, entry, place)

    def _tried_fetched(
        self, rung: str, wanted: ImageReference, place: ImageMounts, gpus: bool
    ) -> ImagePrefix:
        """Return how a rung enters an image of a registry. Raises OutfitMissing."""
        program = self._tools.image_tools[rung]
        _check_mountable(place)
        fetched = self._fetched.fetched(rung, wanted)
        if rung == PODMAN:
            with self._loading:
                self._make_store()
                runtime = PodmanRuntime(program, self._store_folder, lent=fetched)
                return self._podman(runtime, str(wanted), place)
        vendor, path = self._tools.gpu_vendor if gpus else "", str(fetched.path)
        entry = images.apptainer(rung, program, path, place, vendor, lock=fetched.lock)
        return self._tried_once(rung, str(wanted), entry, place)

    def _tried_once(
        self, rung: str, image: str, entry: ImagePrefix, place: ImageMounts
    ) -> ImagePrefix:
        if not self._works.get((rung, image)):
            self._try(entry, place)
            self._works[rung, image] = True
        return entry

    def _try(self, entry: ImagePrefix, place: ImageMounts) -> None:
        wrapping = entry.wrap({"PROBE": "it's"}, first_on_path=(), marks={})
        tried = try_out(wrapping, _TRIAL, folder=str(place.work), patience_s=TRIAL_PATIENCE_S)
        if tried.code != _TRIAL_CODE:
            raise OutfitMissing(tried.said or f"a trial ended with code {tried.code}")

    def _podman(self, runtime: PodmanRuntime, name: str, place: ImageMounts) -> ImagePrefix:
        """Return how podman enters an image that it has, by the first way that works."""
        failures: list[str] = []
        for words, run_words in self._ways:
            entry = replace(runtime, words=words, run_words=run_words).entry(name, place)
            try:
                self._tried_once(PODMAN, name, entry, place)
            except OutfitMissing as why:
                failures.append(str(why))
                continue
            self._ways = ((words, run_words),)
            return entry
        raise OutfitMissing("; ".join(dict.fromkeys(failures)))

    def _load(self, store: PodmanRuntime, archive: str) -> str:
        """Load an archive into the store, and return its name there. Raises OutfitMissing."""
        self._make_store()
        try:
            stat = os.stat(archive)
        except OSError as why:
            raise OutfitMissing(str(why)) from None
        key = (archive, stat.st_size, stat.st_mtime_ns)
        if key not in self._loaded:
            name = f"localhost/pilotage:{len(self._loaded) + 1}"
            self._loaded[key] = self._load_as(store, archive, name)
        return self._loaded[key]

    def _make_store(self) -> None:
        try:
            self._store_folder.mkdir(mode=0o700, exist_ok=True)
            (self._store_folder / "containers.conf").write_text(images.CONTAINERS_CONF)
        except OSError as why:
            raise OutfitMissing(str(why)) from None

    def _load_as(self, store: PodmanRuntime, archive: str, name: str) -> str:
        loaded = self._command(store, "load", "--input", archive)
        said = os.fsdecode(loaded.printed).strip().splitlines()
        if loaded.code == 0 and said and ": " in said[-1]:
            return said[-1].partition(": ")[2].strip()
        imported = self._command(store, "import", "--quiet", archive, name)
        if imported.code != 0:
            raise OutfitMissing(f"neither an image ({loaded.said}) nor a tree ({imported.said})")
        return name

    def _command(self, store: PodmanRuntime, *words: str) -> TrialResult:
        wrapping = Wrapping(store.command(*words), {**clean({}), **dict(store.own())})
        return try_out(wrapping, (), patience_s=LOAD_PATIENCE_S)


def _check_mountable(place: ImageMounts) -> None:
    lent = ((str(one), str(one)) for one in place.lent)
    exposure.check_mountable((*place.shown, *lent), place.hidden)


async def _search_in_thread(find: Callable[[], Outfit]) -> Outfit:
    """Search for an outfit in its own thread.

    After a cancellation nobody waits for it, so that a pilot can end despite a hanging disk.
    """
    found: Future[Outfit] = Future()
    found.set_running_or_notify_cancel()

    def run() -> None:
        try:
            found.set_result(find())
        except OutfitMissing as why:
            found.set_exception(why)
        finally:  # unexpected errors are reported, and then shown like those of any thread
            unforeseen = sys.exc_info()[1]
            if unforeseen is not None:
                found.set_exception(unforeseen)

    threading.Thread(target=run, name="outfit", daemon=True).start()
    return await asyncio.wrap_future(found)
