"""Payloads in images under a real guard: bubblewrap and podman, and a stand-in for Apptainer."""

import asyncio
import ctypes
import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pilotage.pilot.clock import BootClock
from pilotage.pilot.files.token_files import write_token
from pilotage.pilot.outfit import isolation
from pilotage.pilot.outfit.outfit import NodeOutfitter
from pilotage.pilot.outfit.tools import APPTAINER, PODMAN, NodeTools
from pilotage.pilot.ports import GuardGone, OutfitMissing
from pilotage.proto.messages import Assignment, Body, Grant, Limits
from tests.services.image_tree import MARK, SmallImage, calls, fake_apptainer, small_image

from .test_guard import READS_TOKENS, Playground, eventually, playing, sh

NAMESPACES = isolation.works(isolation.UNSHARE)
pytestmark = pytest.mark.skipif(not NAMESPACES, reason="no namespaces can be made here")
RUNGS = (APPTAINER, isolation.BUBBLEWRAP, PODMAN)
each_rung = pytest.mark.parametrize("rung", RUNGS)
COUNT = "i=0; while :; do i=$((i+1)); echo $i >next; mv next count; sleep 0.005; done"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> SmallImage:
    return small_image(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def outfitters(
    image: SmallImage, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, NodeOutfitter]:
    """One for each rung, which has no other tool. They share what they have loaded."""
    folder = tmp_path_factory.mktemp("tools")
    programs = {
        APPTAINER: str(fake_apptainer(folder)),
        isolation.BUBBLEWRAP: shutil.which("bwrap") or "",
        PODMAN: shutil.which("podman") or "",
    }
    assert all(programs.values()), "a tool is missing: deploy/debian-packages test installs it"
    return {
        rung: NodeOutfitter(
            NodeTools(isolation.SESSION, "x86_64", image_tools={rung: program}), folder, os.environ
        )
        for rung, program in programs.items()
    }


class Imaged:
    """Payloads of one rung on a playground."""

    def __init__(
        self, play: Playground, rung: str, image: SmallImage, outfitter: NodeOutfitter
    ) -> None:
        self._play, self._rung, self._outfitter = play, rung, outfitter
        self.path = {APPTAINER: image.sif, PODMAN: image.archive}.get(rung, image.tree)

    async def start(
        self,
        *command: str,
        fence_s: float = 600.0,
        grant: Grant | None = None,
        limits: Limits | None = None,
        token: str = "",
        **environment: str,
    ) -> int:
        attempt_id = self._play.make()
        words = tuple(word.replace("WORD", self._play.word) for word in command)
        body = Body(words, environment, image=str(self.path), limits=limits or Limits())
        if token:
            body = replace(body, tokens=("default",))
            write_token(self._play.work(attempt_id).parent, "default", token)
        grant = grant or Grant(1, 100, 600.0)
        assignment = Assignment(attempt_id, 1, attempt_id, 60.0, "token", grant, body)
        folder = self._play.work(attempt_id).parent
        outfit = await self._outfitter.outfit(assignment, folder)
        assert outfit.isolation == self._rung
        self._play.link.start(assignment, folder, BootClock().now() + fence_s, outfit)
        return attempt_id


@each_rung
async def test_code_output_and_environment_are_as_outside(
    tmp_path: Path, rung: str, image: SmallImage, outfitters: Mapping[str, NodeOutfitter]
) -> None:
    odd = 'it\'s "a" $HOME `id` \\ \n two  lines'
    script = (
        'cat /etc/mark; printf "%s" "$ODD" >odd; echo in >"$TMPDIR/x"; cat /tmp/x >&2; pwd; exit 5'
    )
    async with playing(tmp_path, isolation.SESSION) as play:
        payloads = Imaged(play, rung, image, outfitters[rung])
        attempt = await payloads.start(*sh(script), ODD=odd)
        ended = await play.ended(attempt)

    work = play.work(attempt)
    assert (ended.exit_code, ended.signal, ended.why) == (5, None, "")
    assert play.output(attempt) == f"{MARK}\n{work}\n"
    if rung != APPTAINER:  # the stand-in has a /tmp apart
        assert play.output(attempt, "stderr") == "in\n"
    assert (work / "odd").read_text() == odd
    assert (work.parent / "tmp" / "x").read_text() == "in\n"


@each_rung
async def test_a_payload_in_an_image_sees_nothing_of_the_node_but_its_own_folders(
    tmp_path: Path, rung: str, image: SmallImage, outfitters: Mapping[str, NodeOutfitter]
) -> None:
    (tmp_path / "token").write_text("secret")
    script = f"ls {tmp_path}; ls {tmp_path}/attempts; ls /home /root /usr; touch /bin/x; "
    script += "echo /proc/[0-9]*"
    async with playing(tmp_path, isolation.SESSION) as play:
        payloads = Imaged(play, rung, image, outfitters[rung])
        attempt = await payloads.start(*sh(script))
        ended = await play.ended(attempt)

    lines = play.output(attempt).splitlines()
    assert ended.exit_code == 0
    assert lines[:2] == ["attempts", str(attempt)]
    assert len(lines) == 3, lines
    assert len(lines[2].split()) < 5, lines  # its own processes, and what wraps them
    assert not (image.tree / "bin" / "x").exists()


@each_rung
async def test_a_payload_in_an_image_reads_its_tokens_and_cannot_change_them(
    tmp_path: Path, rung: str, image: SmallImage, outfitters: Mapping[str, NodeOutfitter]
) -> None:
    async with playing(tmp_path, isolation.SESSION) as play:
        payloads = Imaged(play, rung, image, outfitters[rung])
        attempt = await payloads.start(*sh(READS_TOKENS), token="first\n")
        home = play.work(attempt).parent
        await eventually((home / "work" / "ready").exists, "it has tried")
        write_token(home, "default", "second")
        ended = await play.ended(attempt)

    assert ended.exit_code == 0
    assert play.output(attempt) == "first default\nsecond\n"


@each_rung
async def test_a_payload_in_an_image_sees_no_shared_memory_of_others(
    tmp_path: Path, rung: str, image: SmallImage, outfitters: Mapping[str, NodeOutfitter]
) -> None:
    libc, word = ctypes.CDLL(None), f"of-another-{tmp_path.name}"
    segment = libc.shmget(0, 4096, 0o600)
    files = [Path(folder, word) for folder in ("/dev/shm", "/tmp", "/var/tmp")]
    try:
        for file in files:
            file.touch()
        async with playing(tmp_path, isolation.SESSION) as play:
            payloads = Imaged(play, rung, image, outfitters[rung])
            script = "ls /dev/shm /tmp /var/tmp; echo x >/dev/shm/x; cat /proc/sysvipc/shm"
            attempt = await payloads.start(*sh(script))
            ended = await play.ended(attempt)
    finally:
        libc.shmctl(segment, 0, None)  # IPC_RMID
        for file in files:
            file.unlink()

    lines = play.output(attempt).splitlines()
    assert ended.exit_code == 0, play.output(attempt, "stderr")
    assert word not in lines
    assert lines[-1].split()[:2] == ["key", "shmid"], "there is no segment"
    assert "x" not in os.listdir("/dev/shm")


@each_rung
async def test_the_environment_of_the_image_comes_before_that_of_the_job(
    tmp_path: Path, rung: str, image: SmallImage, outfitters: Mapping[str, NodeOutfitter]
) -> None:
    async with playing(tmp_path, isolation.SESSION) as play:
        payloads = Imaged(play, rung, image, outfitters[rung])
        plain = await payloads.start(*sh('echo "$OF_IMAGE|$PILOTAGE_CORES|$HOME"; true'))
        await play.ended(plain)
        said = await payloads.start(*sh('echo "$OF_IMAGE|$PATH"'), OF_IMAGE="no", PATH="/bin:/x")
        await play.ended(said)

    of_image = "" if rung == PODMAN else "yes"  # an archive of a tree has no such word
    assert play.output(plain) == f"{of_image}|1|{play.work(plain)}\n"
    assert play.output(said) == "no|/bin:/x\n"


@each_rung
async def test_signals_and_programs_that_are_not_there_are_told_alike(
    tmp_path: Path, rung: str, image: SmallImage, outfitters: Mapping[str, NodeOutfitter]
) -> None:
    async with playing(tmp_path, isolation.SESSION) as play:
        payloads = Imaged(play, rung, image, outfitters[rung])
        killed = await play.ended(await payloads.start(*sh("kill -KILL $$")))
        absent = await play.ended(await payloads.start("no-such-program"))

    assert killed.signal == signal.SIGKILL
    assert (absent.exit_code, absent.signal) == (127, None)


@each_rung
async def test_a_stop_reaches_the_payload_softly_first(
    tmp_path: Path, rung: str, image: SmallImage, outfitters: Mapping[str, NodeOutfitter]
) -> None:
    script = "trap 'echo told; exit 3' TERM; echo ready; while :; do sleep 0.01; done"
    async with playing(tmp_path, isolation.SESSION) as play:
        payloads = Imaged(play, rung, image, outfitters[rung])
        attempt = await payloads.start(*sh(script))
        await eventually(lambda: play.output(attempt), "it is ready")
        play.link.stop(attempt, 10.0)
        await play.ended(attempt)

    assert play.output(attempt) == "ready\ntold\n"


@each_rung
async def test_a_payload_in_an_image_freezes_at_its_fence_and_goes_on(
    tmp_path: Path, rung: str, image: SmallImage, outfitters: Mapping[str, NodeOutfitter]
) -> None:
    async with playing(tmp_path, isolation.SESSION) as play:
        payloads = Imaged(play, rung, image, outfitters[rung])
        script = f"(setsid sh -c 'mkdir d; cd d; {COUNT}' &); {COUNT}"
        attempt = await payloads.start(
            *sh(script),
        )
        counts = [play.work(attempt) / "count", play.work(attempt) / "d" / "count"]
        await eventually(lambda: all(path.exists() for path in counts), "both count")
        play.fence(attempt, 0.0)
        await play.news(lambda one: one.frozen)
        before = [path.read_text() for path in counts]
        deadline = time.monotonic() + 0.7
        while time.monotonic() < deadline:
            assert [path.read_text() for path in counts] == before
            await asyncio.sleep(0.02)
        play.fence(attempt, 600.0)
        await play.news(lambda one: one.thawed)
        for path, old in zip(counts, before, strict=True):
            await eventually(lambda p=path, o=old: p.read_text() not in ("", o), "it counts again")  # type: ignore[misc]
        play.link.stop(attempt, 0.0)
        await play.ended(attempt)


@each_rung
async def test_a_warning_reaches_a_payload_in_an_image(
    tmp_path: Path, rung: str, image: SmallImage, outfitters: Mapping[str, NodeOutfitter]
) -> None:
    warned = "trap 'echo warned; exit 0' USR1; echo ready; while :; do sleep 0.01; done"
    async with playing(tmp_path, isolation.SESSION) as play:
        payloads = Imaged(play, rung, image, outfitters[rung])
        told = await payloads.start(*sh(warned), limits=Limits(warning_s=60))
        await eventually(lambda: play.output(told), "it is ready")
        play.link.warn()
        ended = await play.ended(told)

    assert (ended.exit_code, ended.why) == (0, "")
    assert play.output(told) == "ready\nwarned\n"


async def test_a_payload_that_podman_has_started_is_held_to_its_limits(
    tmp_path: Path, image: SmallImage, outfitters: Mapping[str, NodeOutfitter]
) -> None:
    async with playing(tmp_path, isolation.SESSION) as play:
        payloads = Imaged(play, PODMAN, image, outfitters[PODMAN])
        attempt = await payloads.start(*sh("while :; do :; done"), limits=Limits(cpu_s=1))
        ended = await play.ended(attempt)

    assert ended.why == "cpu"
    assert ended.usage.cpu_s >= 1.0


@each_rung
async def test_what_puts_a_payload_into_an_image_is_not_charged_to_it(
    tmp_path: Path, rung: str, image: SmallImage, outfitters: Mapping[str, NodeOutfitter]
) -> None:
    """A shell as the first process in the image, the payload, and its child."""
    async with playing(tmp_path, isolation.SESSION) as play:
        payloads = Imaged(play, rung, image, outfitters[rung])
        limits = Limits(processes=3)
        attempt = await payloads.start(*sh("sleep 1.5; exit 4"), limits=limits)
        ended = await play.ended(attempt)

    assert (ended.exit_code, ended.why) == (4, "")


@each_rung
async def test_daemons_in_an_image_do_not_outlive_its_payload_or_its_guard(
    tmp_path: Path, rung: str, image: SmallImage, outfitters: Mapping[str, NodeOutfitter]
) -> None:
    daemons = "(setsid sleep WORD &); (env -i setsid sleep WORD &);"
    async with playing(tmp_path, isolation.SESSION) as play:
        payloads = Imaged(play, rung, image, outfitters[rung])
        short = await payloads.start(*sh(f"{daemons} exit 0"))
        assert (await play.ended(short)).exit_code == 0
        assert not play.alive()
        lasting = await payloads.start(*sh(f"{daemons} sleep WORD"))
        await eventually(lambda: len(play.alive()) >= 3, "daemons run")
        os.kill(play.link.pid, signal.SIGKILL)
        await eventually(lambda: not play.alive(), "nothing of it is left")

        with pytest.raises(GuardGone):
            await play.ended(lasting)


async def test_apptainer_is_told_everything_and_no_value_stands_in_its_arguments(
    tmp_path: Path, image: SmallImage
) -> None:
    tools = NodeTools(
        isolation.SESSION,
        "x86_64",
        image_tools={APPTAINER: str(fake_apptainer(tmp_path))},
        gpu_vendor="nvidia",
    )
    outfitter = NodeOutfitter(tools, tmp_path, os.environ)
    async with playing(tmp_path, isolation.SESSION) as play:
        payloads = Imaged(play, APPTAINER, image, outfitter)
        grant = Grant(1, 100, 600.0, gpus=1)
        first = await payloads.start("true", grant=grant, SECRET="canary")
        await play.ended(first)
        await play.ended(await payloads.start("true"))

    trial, run, later = calls(tmp_path)
    work, tmp = str(play.work(first)), str(play.work(first).parent / "tmp")
    words = ["--silent", "exec", "--containall", "--cleanenv"]
    words += ["--workdir", tmp, "--home", work, "--pwd", work, "--bind", tmp, "--nv"]
    inside = ["/bin/sh", "-c", 'exec "$@"', "payload"]
    assert run == [*words, str(image.sif), *inside, "true"]
    assert trial[:-3] == run[:-1]
    assert "--nv" not in later
    assert not any("canary" in word for call in (trial, run) for word in call)


BROKEN = {
    "gone": ("/no/such.sif", "image /no/such.sif is not on this node"),
    "no repository": (
        "/cvmfs/images.example.org/a.sif",
        "the CVMFS repository images.example.org is not mounted on this node",
    ),
    "no tool": ("ARCHIVE", "it needs podman, but this node has none"),
    "no shell": ("EMPTY", "does not run here: bubblewrap: "),
    "a file": ("FILE", "is a regular file, but its name means another kind"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_an_image_that_does_not_run_here_is_refused_with_the_reason(
    tmp_path: Path, case: str, image: SmallImage
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no tree\n")
    said, why = BROKEN[case]
    places = {"ARCHIVE": image.archive, "EMPTY": tmp_path / "empty", "FILE": tmp_path / "file"}
    path = str(places.get(said, said))
    bwrap = shutil.which("bwrap") or ""
    tools = NodeTools(isolation.SESSION, "x86_64", image_tools={isolation.BUBBLEWRAP: bwrap})
    assignment = Assignment(1, 1, 1, 60.0, "", Grant(1, 1, 60.0), Body(("true",), image=path))
    for part in ("work", "tmp"):
        (tmp_path / part).mkdir()

    with pytest.raises(OutfitMissing) as refused:
        await NodeOutfitter(tools, tmp_path, {}).outfit(assignment, tmp_path)

    assert why in str(refused.value)


async def test_an_archive_that_is_none_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_text("nothing of the kind\n" * 100)
    tools = NodeTools(
        isolation.SESSION, "x86_64", image_tools={PODMAN: shutil.which("podman") or ""}
    )
    body = replace(Body(("true",)), image=str(archive))
    assignment = Assignment(1, 1, 1, 60.0, "", Grant(1, 1, 60.0), body)

    with pytest.raises(OutfitMissing, match="neither an image"):
        await NodeOutfitter(tools, tmp_path, {}).outfit(assignment, tmp_path)
