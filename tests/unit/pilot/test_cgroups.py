"""Control groups on a tree of plain files, as the kernel would lay it out."""

import os
from pathlib import Path

import pytest

from pilotage.pilot.guard import cgroups, limits
from pilotage.pilot.guard.held_payload import GuardedPayload

FILES = (
    "cgroup.procs",
    "cgroup.freeze",
    "cgroup.kill",
    "memory.max",
    "memory.oom.group",
    "pids.max",
)


class Tree:
    """A mount of control groups in which one group, `job`, is our own."""

    def __init__(self, root: Path, *, controllers: str = "cpu io memory pids") -> None:
        self.mount, self.own = root / "mount", root / "self"
        self.job = self.mount / "batch" / "job"
        self.job.mkdir(parents=True)
        self.own.write_text("9:memory:/elsewhere\n0::/batch/job\n")
        (self.job / "cgroup.controllers").write_text(controllers + "\n")
        (self.job / "cgroup.procs").write_text(f"{os.getpid()}\n")
        (self.job / "cgroup.subtree_control").write_text("")
        self.group("pilotage-pilot")

    def group(self, name: str) -> Path:
        """Make a group with the files that a kernel puts there."""
        folder = self.job / name
        folder.mkdir()
        for file in FILES:
            (folder / file).write_text("")
        return folder

    def take_over(self) -> str:
        return cgroups.take_over(str(self.mount), str(self.own))


def test_a_group_in_which_the_pilot_is_alone_is_taken_over(tmp_path: Path) -> None:
    tree = Tree(tmp_path)

    assert tree.take_over() == str(tree.job)
    assert (tree.job / "pilotage-pilot" / "cgroup.procs").read_text() == str(os.getpid())
    assert (tree.job / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_a_group_with_others_without_controllers_or_of_version_1_is_left_alone(
    tmp_path: Path,
) -> None:
    crowded, bare, old = (Tree(tmp_path / name) for name in ("crowded", "bare", "old"))
    (crowded.job / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    (bare.job / "cgroup.controllers").write_text("cpu\n")
    old.own.write_text("9:memory:/batch/job\n")

    assert [tree.take_over() for tree in (crowded, bare, old)] == ["", "", ""]
    for tree in (crowded, bare, old):
        assert (tree.job / "cgroup.subtree_control").read_text() == ""
        assert (tree.job / "pilotage-pilot" / "cgroup.procs").read_text() == ""


def test_a_group_that_refuses_its_controllers_gets_the_pilot_back(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tree.job / "cgroup.subtree_control").unlink()
    (tree.job / "cgroup.procs").chmod(0o644)

    assert tree.take_over() == ""
    assert (tree.job / "cgroup.procs").read_text().split() == [str(os.getpid())]


def test_a_payload_gets_its_limits_and_its_processes(tmp_path: Path) -> None:
    folder = Tree(tmp_path).group("pilotage-7")
    given = limits.PayloadLimits({"memory_mb": 2000, "processes": 64})

    group = cgroups.make(str(folder.parent), 7, given)
    assert group is not None
    group.add([41])
    group.add([41, 42])

    assert (folder / "memory.max").read_text() == "2000000000"
    assert (folder / "memory.oom.group").read_text() == "1"
    assert (folder / "pids.max").read_text() == "80"
    assert (folder / "cgroup.procs").read_text() == "42"


def test_without_limits_nothing_is_limited_and_without_files_there_is_no_group(
    tmp_path: Path,
) -> None:
    tree = Tree(tmp_path)
    folder = tree.group("pilotage-7")

    assert cgroups.make(str(tree.job), 7, limits.PayloadLimits({})) is not None
    assert (folder / "memory.max").read_text() == ""
    assert cgroups.make(str(tree.job), 8, limits.PayloadLimits({"memory_mb": 1})) is None


def test_a_group_is_frozen_thawed_killed_and_read(tmp_path: Path) -> None:
    folder = Tree(tmp_path).group("pilotage-7")
    group = cgroups.ControlGroup(str(folder))
    (folder / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (folder / "memory.peak").write_text("1500000000\n")
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 1\noom_group_kill 1\n")
    (folder / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    at_first = group.freeze(True)
    (folder / "cgroup.events").write_text("populated 1\nfrozen 1\n")

    assert [at_first, group.freeze(True), group.freeze(False)] == [False, True, False]
    assert (folder / "cgroup.freeze").read_text() == "0"
    group.kill()
    assert (folder / "cgroup.kill").read_text() == "1"
    assert (group.cpu_s(), group.memory_peak_mb(), group.ran_out_of_memory()) == (2.5, 1500.0, True)


@pytest.mark.parametrize("killed", ["0", "1"])
def test_what_the_kernel_has_ended_for_its_memory_is_said_so(tmp_path: Path, killed: str) -> None:
    folder = Tree(tmp_path).group("pilotage-7")
    (folder / "memory.events").write_text(f"oom_kill {killed}\n")
    (folder / "cpu.stat").write_text("usage_usec 2500000\n")
    order = {"attempt_id": 7, "isolation": "unshare", "wall_s": 1.0, "frozen_max_s": 1.0}
    held = GuardedPayload({**order, "fence": 1.0, "limits": {"memory_mb": 2000}}, 42, 0.0)
    held.group, held.cpu_before_s = cgroups.ControlGroup(str(folder)), 0.1
    held.leave_group()

    told = ("memory", "used up 2.0 GB, was given 2.0 GB") if killed == "1" else ("", "")
    assert held.account.use.cpu_s == pytest.approx(2.6)
    assert (held.why, held.detail) == told
    assert held.account.memory_peak_mb == 2000 * int(killed)
    assert not held.group


def test_trees_are_known_by_their_files_also_without_a_controller(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "cgroup.controllers").touch()
    places = [str(tmp_path / name) for name in ("old", "new", "none")]

    assert cgroups.open_trees(places) == (str(tmp_path / "new"),)
