"""A payload beside the pilot and the payload of another, all of one user of one node."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle
from pilotage.pilot.outfit import isolation
from pilotage.proto.messages import Node
from tests.scripted_central import assignment

from ..test_guard import RUNGS
from ..test_pilot_process import served
from .test_secrets import NOBODY, PYTHON, SecretiveCentral, needs_root

HERE = sorted({isolation.BUBBLEWRAP, isolation.UNSHARE} & {*RUNGS})
SCRIPT = Path(__file__).with_name("neighbour.py")
OUTSIDE_OF_TMP = "/srv"  # /tmp is each payload's own: what lies there is hidden by that alone
PATIENCE_S = 30.0


@dataclass
class Neighbours:
    """Pilots of one user, each with a central of its own."""

    user: int
    rung: str
    folder: Path
    register: Path
    centrals: dict[str, SecretiveCentral] = field(default_factory=dict[str, SecretiveCentral])

    @contextlib.contextmanager
    def pilot(self, name: str, state: Path, *command: str, **environ: str) -> Generator[Path]:
        """Run a pilot that has one payload; return the folder in which that runs."""
        assert PYTHON is not None
        central = self.centrals[name] = SecretiveCentral()
        words = (word.replace("WORD", central.word) for word in command)
        central.queue.append(assignment(1, PYTHON, str(self.folder / SCRIPT.name), *words))
        state.mkdir(parents=True, exist_ok=True)
        for one in (state, *state.parents):
            if one == self.folder:
                break
            os.chown(one, self.user, self.user)
        with served(central) as url, (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [PYTHON, "-I", str(self.folder / "pilot.pyz"), "run", "--central", url]
                + ["--secret-file", "-", "--isolation", self.rung, "--state-dir", str(state)]
                + ["--benchmark-s", "0", "--idle-s", "0.3"],
                env={"PATH": "/usr/bin:/bin", **environ}
                | {"PILOTAGE_PILOT__REGISTER": str(self.register)},
                cwd=state,
                stdin=subprocess.PIPE,
                stderr=log,
                user=self.user,
                group=self.user,
                extra_groups=[],
            )
            assert process.stdin is not None
            process.stdin.write(b"secret\n")
            process.stdin.close()
            try:
                work = state / "attempts" / "1" / "work"
                until(work.exists)
                yield work
                if name == "thief":
                    assert process.wait(PATIENCE_S) == 0, self.log(name)
            finally:
                process.kill()
                process.wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def printed(self, work: Path) -> str:
        file = work.parent / "stderr"
        return file.read_text() if file.exists() else ""

    def node(self, name: str) -> Node:
        (one,) = self.centrals[name].registers
        assert one.node is not None
        return one.node

    def stolen(self) -> dict[str, list[str]]:
        """Return what the thief has found."""
        (report,) = self.centrals["thief"].ended.values()
        blobs = self.centrals["thief"].blobs
        kept = {one.name: blobs[one.sha256] for one in report.outputs}
        assert report.exit_code == 0, kept
        found: dict[str, list[str]] = json.loads(kept[".pilotage/stdout"])
        return found


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@contextlib.contextmanager
def neighbours(rung: str, user: int) -> Generator[Neighbours]:
    with tempfile.TemporaryDirectory(prefix="neighbours-", dir=OUTSIDE_OF_TMP) as name:
        folder = Path(name)
        folder.chmod(0o755)
        for source, file in ((pilot_bundle(), "pilot.pyz"), (SCRIPT, SCRIPT.name)):
            shutil.copy(source, folder / file)
            (folder / file).chmod(0o644)
        register = folder / "register"
        register.mkdir(mode=0o1777)
        register.chmod(0o1777)
        yield Neighbours(user, rung, folder, register)


def rob(street: Neighbours, thief: Path, *, early: Path, late: Path) -> dict[str, list[str]]:
    """Let a thief look for all that its neighbours have, of which one comes after it.

    Both folders of the late pilot and the thief's are those of batch jobs.
    """
    with contextlib.ExitStack() as stack:

        def come(name: str, state: Path, **environ: str) -> Path:
            work = stack.enter_context(street.pilot(name, state, "victim", "WORD", **environ))
            until((work / "ready").exists)
            return work

        works = [come("early", early)]
        words = street.folder / "words"  # backwards, once they are known
        command = "thief", str(words), str(street.folder), str(street.register)
        job = {"_CONDOR_SCRATCH_DIR": str(thief.parent)}
        robber = stack.enter_context(street.pilot("thief", thief, *command, **job))
        until(lambda: "looking" in street.printed(robber))
        works.append(come("late", late, _CONDOR_SCRATCH_DIR=str(late.parent)))
        victims = [street.centrals[name].word for name in ("early", "late")]
        words.write_text(" ".join(word[::-1] for word in victims))
        words.chmod(0o644)
        (robber / "go").touch()
        until(lambda: street.centrals["thief"].ended)
        found = street.stolen()
        for work, word in zip(works, victims, strict=True):
            (trace,) = work.glob("trace-*")
            if trace.read_text() != word:
                found["forged"] = [str(trace)]
        return found


def places(street: Neighbours) -> tuple[Path, Path, Path]:
    jobs = street.folder / "execute"
    return street.folder / "elsewhere" / "state", jobs / "dir_1" / "state", jobs / "dir_2" / "state"


@needs_root
@pytest.mark.parametrize("rung", HERE)
def test_a_payload_finds_nothing_of_other_pilots_and_payloads_of_its_user(rung: str) -> None:
    with neighbours(rung, NOBODY) as street:
        early, thief, late = places(street)

        assert rob(street, thief, early=early, late=late) == {}
        assert [street.node(one).namespaces for one in ("early", "thief")] == [True, False]
        assert f"payloads of the pilot in {early} may see" in street.log("thief")


LOOKS = """
import os, subprocess, sys
from pathlib import Path
from pilotage.pilot.guard.held_payload import FEED_FD
from pilotage.pilot.neighbours import HiddenPaths, Neighbours
from pilotage.pilot.outfit import isolation
rung, top = sys.argv[1], Path(sys.argv[2])
hidden = HiddenPaths((), Neighbours(str(top)), top / "one" / "pilot")
around = isolation.wrap(rung, {"PATH": "/usr/bin:/bin"}, marks={}, folder=top / "a", hidden=hidden)
os.dup2(feed := os.memfd_create("feed"), FEED_FD)
os.write(feed, around.feed.encode())
os.lseek(feed, 0, 0)
words = [*around.prefix, "sh", "-c", f"cat {top}/*/pilot/secret {top}/three/secret; echo looked"]
subprocess.run(words, cwd=top / "a" / "work", pass_fds=(FEED_FD,), check=True)
"""


@needs_root
@pytest.mark.parametrize("rung", HERE)
def test_a_payload_finds_nothing_of_a_pilot_under_a_second_mount(rung: str) -> None:
    with tempfile.TemporaryDirectory(prefix="mounted-", dir=OUTSIDE_OF_TMP) as name:
        top = Path(name)
        for folder in ("one/pilot", "two", "three", "a/work", "a/tmp", "a/private"):
            (top / folder).mkdir(parents=True)
        (top / "one" / "pilot" / "secret").write_text("canary")
        binds = f"mount --bind {top}/one {top}/two; mount --bind {top}/one/pilot {top}/three"
        script = f'set -e; {binds}; cat {top}/*/secret {top}/*/*/secret; exec "$@"'
        words = "unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", LOOKS
        ran = subprocess.run([*words, rung, name], capture_output=True, text=True, check=True)

    assert ran.stdout == "canary" * 3 + "looked\n", ran.stderr


@needs_root
@pytest.mark.long
def test_a_payload_of_a_root_pilot_finds_nothing_of_other_pilots_and_payloads() -> None:
    with neighbours(HERE[0], 0) as street:
        early, thief, late = places(street)

        assert rob(street, thief, early=early, late=late) == {}


@needs_root
@pytest.mark.long
def test_the_thief_sees_what_there_is_to_see() -> None:
    with neighbours(isolation.SESSION, NOBODY) as street:
        early, thief, late = places(street)
        found = rob(street, thief, early=early, late=late)

        wanted = {"name", "file", "socket", "command line", "shared memory", "forged"}
        assert wanted <= found.keys()
        assert any(one.endswith("identity") for one in found["file"])
        assert not street.node("early").namespaces
