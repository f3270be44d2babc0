"""Software of a node: a tree that stands for CVMFS, and real environment modules, on each rung."""

import os
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

from pilotage.pilot.clock import BootClock
from pilotage.pilot.outfit import isolation, modules
from pilotage.pilot.outfit.outfit import NodeOutfitter
from pilotage.pilot.outfit.tools import NodeTools
from pilotage.pilot.ports import Outfit, OutfitMissing
from pilotage.proto.messages import Assignment, Body, Grant
from tests.services.folders import open_folder

from .test_guard import RUNGS, Playground, playing, sh

each_rung = pytest.mark.parametrize("rung", RUNGS)
REPO = "sw.example.org"


def _program(path: Path, says: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)


@pytest.fixture
def cvmfs() -> Generator[Path]:
    """A folder that stands for /cvmfs, with one repository. It lies on a disk."""
    with open_folder("node") as node:
        root = node / "cvmfs"
        for level in (1, 3):
            _program(root / REPO / f"x86-64-v{level}" / "tool" / "bin" / "tool", f"level {level}")
        (root / REPO / "data").mkdir()
        modulefile = root / REPO / "modules" / "tool" / "1.0"
        modulefile.parent.mkdir(parents=True)
        modulefile.write_text(
            "#%Module\n"
            f"prepend-path PATH {root / REPO / 'x86-64-v1' / 'tool' / 'bin'}\n"
            'setenv TOOL_HOME {it\'s "home"}\n'
        )
        yield root


async def _outfit(
    play: Playground, rung: str, cvmfs: Path, body: Body, level: int = 3
) -> tuple[Assignment, Outfit]:
    tools = NodeTools(
        rung, "x86_64", level, hidden=(play.folder / "attempts",), cvmfs_root=str(cvmfs)
    )
    attempt_id = play.make()
    assignment = Assignment(attempt_id, 1, attempt_id, 60.0, "", Grant(1, 100, 600.0), body)
    outfitter = NodeOutfitter(tools, play.folder, {"PATH": os.environ["PATH"]})
    return assignment, await outfitter.outfit(assignment, play.work(attempt_id).parent)


async def _run(
    play: Playground, rung: str, cvmfs: Path, body: Body, level: int = 3
) -> tuple[int | None, str]:
    assignment, outfit = await _outfit(play, rung, cvmfs, body, level)
    folder = play.work(assignment.attempt_id).parent
    play.link.start(assignment, folder, BootClock().now() + 600.0, outfit)
    ended = await play.ended(assignment.attempt_id)
    return ended.exit_code, play.output(assignment.attempt_id)


@each_rung
async def test_software_is_on_the_path_of_the_payload(
    tmp_path: Path, rung: str, cvmfs: Path
) -> None:
    folders = (f"/cvmfs/{REPO}/{{level}}/tool", f"/cvmfs/{REPO}/data")
    body = Body(sh('tool; echo "$PILOTAGE_SOFTWARE"'), software=folders)
    async with playing(tmp_path, rung) as play:
        best = await _run(play, rung, cvmfs, body)
        lower = await _run(play, rung, cvmfs, body, level=2)

    repo = cvmfs / REPO
    assert best == (0, f"level 3\n{repo}/x86-64-v3/tool:{repo}/data\n")
    assert lower == (0, f"level 1\n{repo}/x86-64-v1/tool:{repo}/data\n")


def _with_modules(cvmfs: Path, *names: str, command: tuple[str, ...] = ("true",)) -> Body:
    return Body(command, {"MODULEPATH": str(cvmfs / REPO / "modules")}, modules=names)


@each_rung
async def test_modules_are_loaded_by_the_tool_of_the_node(
    tmp_path: Path, rung: str, cvmfs: Path
) -> None:
    assert modules.init_file({}), "no module tool: deploy/debian-packages test installs one"
    script = sh('tool; echo "$TOOL_HOME|$LOADEDMODULES|$PILOTAGE_JOB"')
    async with playing(tmp_path, rung) as play:
        code, output = await _run(play, rung, cvmfs, _with_modules(cvmfs, "tool", command=script))

    job = output.strip().rpartition("|")[2]
    assert code == 0
    assert output == f'level 1\nit\'s "home"|tool/1.0|{job}\n'


@each_rung
async def test_a_module_that_is_not_there_is_named(tmp_path: Path, rung: str, cvmfs: Path) -> None:
    async with playing(tmp_path, rung) as play:
        with pytest.raises(OutfitMissing) as missing:
            await _outfit(play, rung, cvmfs, _with_modules(cvmfs, "tool/1.0", "no-such/2"))

    assert "modules cannot be loaded on this node: " in str(missing.value)
    assert "no-such/2" in str(missing.value)


async def test_a_node_without_a_module_tool_says_so(tmp_path: Path, cvmfs: Path) -> None:
    tools = NodeTools(isolation.SESSION, "x86_64", module_init="/no/such/file")
    assignment = Assignment(1, 1, 1, 60.0, "", Grant(1, 1, 1.0), _with_modules(cvmfs, "tool"))

    with pytest.raises(OutfitMissing, match="this node has no module tool"):
        await NodeOutfitter(tools, tmp_path, {}).outfit(assignment, tmp_path)


@pytest.mark.skipif(isolation.BUBBLEWRAP not in RUNGS, reason="bubblewrap does not work here")
async def test_a_modulefile_of_a_stranger_runs_where_the_payload_will_run(
    tmp_path: Path, cvmfs: Path
) -> None:
    """What it sees of our folder is its last word, which we are told."""
    spy = cvmfs / REPO / "modules" / "spy"
    spy.write_text(
        "#%Module\n"
        f"set found [glob -nocomplain {tmp_path}/attempts/*/secret /proc/{os.getpid()}/environ]\n"
        'error "sees $found."\n'
    )
    async with playing(tmp_path, isolation.BUBBLEWRAP) as play:
        (play.work(play.make()).parent / "secret").write_text("word")
        with pytest.raises(OutfitMissing) as missing:
            await _outfit(play, isolation.BUBBLEWRAP, cvmfs, _with_modules(cvmfs, "spy"))

    assert "sees ." in str(missing.value)
    assert "secret" not in str(missing.value)
    assert "environ" not in str(missing.value)


def test_the_initialisation_that_the_environment_names_goes_before_what_is_found(
    tmp_path: Path,
) -> None:
    init = tmp_path / "init" / "sh"
    init.parent.mkdir()
    init.write_text("")
    named: Mapping[str, str] = {"MODULESHOME": str(tmp_path)}

    assert modules.init_file(named) == str(init)
    assert modules.init_file({"LMOD_PKG": str(tmp_path), "MODULESHOME": "/x"}) == str(init)
    assert modules.init_file(named, "/told/by/a/setting") == ""
