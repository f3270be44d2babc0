"""Images from a real registry: podman fetches each once per node, and payloads run in it."""

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from pilotage.pilot.outfit import isolation
from pilotage.pilot.outfit.outfit import NodeOutfitter
from pilotage.pilot.outfit.tools import APPTAINER, PODMAN, NodeTools
from pilotage.pilot.outfit.trial import try_out
from pilotage.pilot.ports import Outfit, OutfitMissing
from pilotage.proto.messages import Assignment, Body, Grant
from tests.services.folders import open_folder
from tests.services.image_tree import MARK, SmallImage, fake_apptainer, small_image
from tests.services.ports import free_ports
from tests.services.registry import RunningRegistry, running_registry

pytestmark = [
    pytest.mark.skipif(not isolation.works(isolation.UNSHARE), reason="no namespaces here"),
    pytest.mark.xdist_group("registry"),
]
HELD_S = 20.0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> SmallImage:
    return small_image(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


class FakeNode:
    """A node with some tools and one cache; each pilot on it has a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.cache = folder / "cache"
        self.tools = NodeTools(
            isolation.SESSION,
            "x86_64",
            image_tools={PODMAN: shutil.which("podman") or ""},
            cvmfs_root=str(folder / "cvmfs"),
            image_cache=str(self.cache),
            fetch_patience_s=60.0,
        )
        self._pilots = 0

    def pilot(self, **changed: object) -> "FakePilot":
        self._pilots += 1
        folder = self._folder / f"pilot-{self._pilots}"
        folder.mkdir()
        return FakePilot(folder, replace(self.tools, **changed))  # type: ignore[arg-type]

    def images(self) -> list[str]:
        return sorted(one for one in os.listdir(self.cache) if not one.endswith(".lock"))


class FakePilot:
    def __init__(self, folder: Path, tools: NodeTools) -> None:
        self._folder, self._outfitter = folder, NodeOutfitter(tools, folder, os.environ)
        self._attempts = 0

    async def outfit(self, image: str) -> Outfit:
        self._attempts += 1
        body = Body(("true",), image=image)
        assignment = Assignment(1, 1, self._attempts, 60.0, "", Grant(1, 1, 60.0), body)
        return await self._outfitter.outfit(assignment, self.attempt())

    def attempt(self) -> Path:
        folder = self._folder / str(self._attempts)
        for part in ("work", "tmp"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        return folder

    async def run(self, image: str, *command: str) -> str:
        """Run a command as the guard would, and return its output."""
        outfit = await self.outfit(image)
        assert outfit.entry is not None
        around = outfit.entry.wrap({}, first_on_path=(), marks={})
        work = str(self.attempt() / "work")
        done = await asyncio.to_thread(try_out, around, command, folder=work, patience_s=60.0)
        assert done.code == 0, done.errors
        return done.printed.decode()


@pytest.fixture
def node() -> Generator[FakeNode]:
    """Yield a node on a disk: payloads in images see a /dev/shm of their own."""
    with open_folder("fetched") as folder:
        yield FakeNode(folder)


async def test_two_pilots_of_a_node_fetch_an_image_once(
    node: FakeNode, registry: RunningRegistry, image: SmallImage
) -> None:
    digest = registry.push(image, "team/once:1")
    said = f"docker://{registry.host}/team/once:1"
    pilots = [node.pilot() for _ in range(2)]
    outfits = await asyncio.gather(*(pilot.outfit(said) for pilot in pilots))
    printed = await asyncio.gather(*(pilot.run(said, "cat", "/etc/mark") for pilot in pilots))

    assert printed == [f"{MARK}\n"] * 2
    assert {one.image for one in outfits} == {f"{registry.host}/team/once@{digest}"}
    assert registry.fetches("team/once") == 2, "its configuration and its layer, once each"
    assert node.images() == [f"{digest[7:]}-store"]


async def test_a_tag_follows_the_registry_and_a_digest_does_not(
    node: FakeNode, registry: RunningRegistry, image: SmallImage, tmp_path: Path
) -> None:
    first = registry.push(image, "team/moving:1")
    (tmp_path / "other").mkdir()
    other = small_image(tmp_path / "other")
    (other.tree / "etc" / "mark").write_text("the second\n")
    _pack(other.tree, other.archive)
    name = f"docker://{registry.host}/team/moving"
    before = await node.pilot().run(f"{name}:1", "cat", "/etc/mark")
    second = registry.push(other, "team/moving:1", as_index=True)

    assert first != second
    assert before == f"{MARK}\n"
    assert await node.pilot().run(f"{name}:1", "cat", "/etc/mark") == "the second\n"
    assert await node.pilot().run(f"{name}:1@{first}", "cat", "/etc/mark") == f"{MARK}\n"
    assert node.images() == sorted(f"{one[7:]}-store" for one in (first, second))


def _pack(tree: Path, archive: Path) -> None:
    subprocess.run(["tar", "-C", tree, "-cf", archive, "."], check=True)


WRONG = {
    "absent": ("team/absent:1", "it has no such image"),
    "digest": (f"team/here@sha256:{'0' * 64}", "cannot be fetched: .*manifest unknown"),
    "no shell": ("team/empty:1", "does not run here"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_an_image_that_cannot_be_used_is_refused_and_leaves_nothing_half_done(
    node: FakeNode, registry: RunningRegistry, image: SmallImage, case: str, tmp_path: Path
) -> None:
    registry.push(image, "team/here:1")
    empty = tmp_path / "empty.tar"
    _pack(image.tree / "etc", empty)
    registry.push(replace(image, archive=empty), "team/empty:1")
    name, why = WRONG[case]

    with pytest.raises(OutfitMissing, match=why):
        await node.pilot().outfit(f"docker://{registry.host}/{name}")

    left = node.images() if node.cache.exists() else []
    assert [one for one in left if "partial" in one] == []


async def test_a_registry_that_is_down_or_not_allowed_is_named(node: FakeNode) -> None:
    host = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(OutfitMissing, match=f"image {host}/a:latest: registry {host}: .*refused"):
        await node.pilot().outfit(f"docker://{host}/a")
    with pytest.raises(OutfitMissing, match=f"may not fetch from {host}"):
        await node.pilot(registries=("ghcr.io",)).outfit(f"docker://{host}/a")


async def test_a_fetch_that_was_killed_is_never_used(
    node: FakeNode, registry: RunningRegistry, image: SmallImage
) -> None:
    digest = registry.push(image, "team/killed:1")
    partial = node.cache / f"{digest[7:]}-store.partial" / "store" / "overlay"
    partial.mkdir(parents=True, mode=0o700)
    node.cache.chmod(0o700)
    printed = await node.pilot().run(f"docker://{registry.host}/team/killed:1", "cat", "/etc/mark")

    assert printed == f"{MARK}\n"
    assert node.images() == [f"{digest[7:]}-store"]


async def test_an_image_stays_while_a_payload_runs_in_it_even_without_its_pilot(
    node: FakeNode, registry: RunningRegistry, image: SmallImage
) -> None:
    digest = registry.push(image, "team/held:1")
    pilot = node.pilot()
    outfit = await pilot.outfit(f"docker://{registry.host}/team/held:1")
    assert outfit.entry is not None
    around = outfit.entry.wrap({}, first_on_path=(), marks={})
    lock = node.cache / f"{digest[7:]}-store.lock"
    script = 'exec "$@" 3</dev/null'  # FEED_FD, without an environment
    payload = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", script, "guard", *around.prefix, "sh", "-c", "echo ready; sleep 60"),
        env=dict(around.environment),
        stdout=asyncio.subprocess.PIPE,
        cwd=pilot.attempt() / "work",
    )
    assert payload.stdout is not None
    assert await payload.stdout.readline() == b"ready\n"
    during = _can_be_removed(lock)
    payload.kill()
    await payload.wait()
    deadline = time.monotonic() + HELD_S
    while not _can_be_removed(lock):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)

    assert not during


def _can_be_removed(lock: Path) -> bool:
    with lock.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


async def test_the_tree_on_cvmfs_comes_before_the_registry(
    node: FakeNode, image: SmallImage
) -> None:
    unpacked = Path(node.tools.cvmfs_root) / "unpacked.cern.ch"
    flat = unpacked / ".flat" / "ab" / ("ab" * 32)
    names = unpacked / "registry.hub.docker.com" / "library"
    names.mkdir(parents=True)
    flat.parent.mkdir(parents=True)
    shutil.copytree(image.tree, flat, symlinks=True)
    (names / "small:1").symlink_to(flat)
    tools = {isolation.BUBBLEWRAP: shutil.which("bwrap") or "", PODMAN: "/bin/false"}
    pilot = node.pilot(image_tools=tools)
    outfit = await pilot.outfit("docker://small:1")

    assert (outfit.isolation, outfit.image) == (isolation.BUBBLEWRAP, str(flat))
    assert await pilot.run("docker://small:1", "cat", "/etc/mark") == f"{MARK}\n"
    assert not node.cache.exists()


async def test_apptainer_fetches_a_file_by_digest(
    node: FakeNode, registry: RunningRegistry, image: SmallImage, tmp_path: Path
) -> None:
    digest = registry.push(image, "team/sif:1")
    pilot = node.pilot(image_tools={APPTAINER: str(fake_apptainer(tmp_path, pulls=image))})
    printed = await pilot.run(f"docker://{registry.host}/team/sif:1", "cat", "/etc/mark")

    assert printed == f"{MARK}\n"
    assert node.images() == [f"{digest[7:]}-sif"]


async def test_a_slow_fetch_ends_at_its_time_out(
    node: FakeNode, registry: RunningRegistry, image: SmallImage, tmp_path: Path
) -> None:
    registry.push(image, "team/slow:1")
    slow = tmp_path / "podman"
    slow.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    slow.chmod(0o755)
    pilot = node.pilot(image_tools={PODMAN: str(slow)}, fetch_patience_s=0.5)
    begun = time.monotonic()

    with pytest.raises(OutfitMissing, match="cannot be fetched: it did not end within 0.5 s"):
        await pilot.outfit(f"docker://{registry.host}/team/slow:1")
    assert time.monotonic() - begun < 10
    assert node.images() == []
