"""Images under a pilot of an ordinary user, who has one user number and no right to any other."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle
from pilotage.pilot.outfit import isolation
from pilotage.pilot.outfit.tools import PODMAN
from tests.services.image_tree import MARK, small_image
from tests.services.registry import running_registry

NOBODY = 65_534
PYTHON = shutil.which("python3", path="/usr/bin:/bin")  # one that any user may run
PATIENCE_S = 60.0
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as another user"),
    pytest.mark.skipif(not isolation.works(isolation.UNSHARE), reason="no namespaces here"),
]

# Outfits a payload, and runs a command as the guard would: by what the outfit wraps around it.
RUN = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pilotage.pilot.outfit.outfit import NodeOutfitter
from pilotage.pilot.outfit.tools import NodeTools
from pilotage.pilot.outfit.trial import try_out
from pilotage.proto.messages import Assignment, Body, Grant

rung, program, image, folder = sys.argv[2], sys.argv[3], sys.argv[4], Path(sys.argv[5])
for part in ("work", "tmp"):
    (folder / part).mkdir()
body = Body(("true",), image=image)
assignment = Assignment(1, 1, 1, 60.0, "", Grant(1, 1, 60.0), body)
cache = str(folder / "cache")
tools = NodeTools("session", "x86_64", image_tools={rung: program}, image_cache=cache)
outfit = asyncio.run(NodeOutfitter(tools, folder, {}).outfit(assignment, folder))
around = outfit.entry.wrap({"A": "it's"}, first_on_path=(), marks={})
script = 'cat /etc/mark; echo "$A" >made; grep CapEff /proc/self/status; exit 6'
tried = try_out(around, ("sh", "-c", script), folder=str(folder / "work"), patience_s=30.0)
print(outfit.isolation, tried.code)
print(tried.printed.decode(), end="")
"""


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder that an ordinary user can reach, with one inside that is this user's."""
    with tempfile.TemporaryDirectory(prefix="images-of-users-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "own").mkdir()
        os.chown(folder / "own", NOBODY, NOBODY)
        yield folder


@pytest.mark.parametrize("rung", [isolation.BUBBLEWRAP, PODMAN])
def test_an_ordinary_user_runs_a_payload_in_an_image(folder: Path, rung: str) -> None:
    image = small_image(folder)
    _run(folder, rung, str(image.archive if rung == PODMAN else image.tree))


def test_an_ordinary_user_runs_a_payload_in_an_image_of_a_registry(
    folder: Path, tmp_path: Path
) -> None:
    with running_registry(tmp_path) as registry:
        registry.push(small_image(folder), "team/users:1", as_index=True)
        _run(folder, PODMAN, f"docker://{registry.host}/team/users:1")

    (cache,) = [one for one in (folder / "own" / "cache").iterdir() if one.is_dir()]
    assert cache.stat().st_uid == NOBODY


def _run(folder: Path, rung: str, image: str) -> None:
    assert PYTHON is not None
    program = shutil.which({isolation.BUBBLEWRAP: "bwrap"}.get(rung, rung))
    assert program is not None, "a tool is missing: deploy/debian-packages test installs it"
    shutil.copy(pilot_bundle(), folder / "pilot.pyz")
    (folder / "pilot.pyz").chmod(0o644)

    done = subprocess.run(
        [PYTHON, "-I", "-c", RUN, str(folder / "pilot.pyz"), rung, program, image]
        + [str(folder / "own")],
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd=folder / "own",
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )

    assert done.stdout == f"{rung} 6\n{MARK}\nCapEff:\t0000000000000000\n", done.stderr
    made = folder / "own" / "work" / "made"
    assert (made.read_text(), made.stat().st_uid) == ("it's\n", NOBODY)
