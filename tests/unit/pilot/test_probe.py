"""What a pilot offers of what was found: settings cap it, time goes by, limits are changed."""

from dataclasses import replace
from pathlib import Path

import pytest

from pilotage.pilot.data.drivers import programs
from pilotage.pilot.data.root_storage import RootStorage
from pilotage.pilot.detect.finding import SourcedValue
from pilotage.pilot.detect.surroundings import Surroundings
from pilotage.pilot.gpus import Gpus
from pilotage.pilot.node.declarations import DeclaredNode
from pilotage.pilot.node.probe import WALL_DEFAULT_S, Caps, LocalNode
from pilotage.proto.messages import Benchmark

from ...nodes import recorded
from ...nodes.recorded import Printing

NO_CAPS = Caps()


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def probe_on(
    name: str, root: Path, clock: HandClock, caps: Caps = NO_CAPS, folder: str = "/srv/pilot"
) -> LocalNode:
    around = recorded.load(name).surroundings(root)
    return LocalNode(
        root / folder.lstrip("/"),
        clock,
        around,
        isolation="session",
        caps=caps,
        programs=programs({"root": RootStorage()}),
    )


def test_settings_cap_what_is_found_and_add_tags(tmp_path: Path) -> None:
    caps = Caps(cores=2, memory_mb=4000, scratch_mb=1, wall_s=100.0, tags=("fast",))
    clock = HandClock()

    probe = probe_on("el9-htcondor-cgroup2", tmp_path, clock, caps, "/pool/condor/dir_3344")
    free = probe_on("el9-htcondor-cgroup2", tmp_path, clock, Caps(), "/pool/condor/dir_3344")

    assert (probe.cores(), probe.memory_mb(), probe.scratch_free_mb()) == (2, 4000, 1)
    assert probe.wall_left_s() == 100.0
    assert probe.tags()[:3] == ("fast", "cvmfs:oasis.opensciencegrid.org", "cvmfs:sw.cta.example")
    assert (free.cores(), free.memory_mb(), free.scratch_free_mb()) == (8, 19327, 167772)


@pytest.mark.parametrize(
    ("node", "is_there"), [("el9-htcondor-cgroup2", True), ("debian12-vm", False)]
)
def test_a_node_with_the_programs_of_xrootd_offers_its_tag(
    tmp_path: Path, node: str, is_there: bool
) -> None:
    assert ("xrootd" in probe_on(node, tmp_path, HandClock()).tags()) is is_there


CAPPED = [
    # node, folder; the cores that are found, who says so
    ("el8-pbs", "", 4, "NCPUS"),
    ("gpu-v100-lsf", "", 10, "LSB_MCPU_HOSTS"),
    ("debian13-gridengine", "", 1, "NSLOTS"),
    ("debian12-vm", "", 4, "affinity"),
    ("kubernetes-pod", "", 4, "cpu.max"),
    ("docker-cgroup1", "", 2, "cpu.cfs_quota_us"),
]


@pytest.mark.parametrize(("node", "folder", "found", "source"), CAPPED)
def test_cores_are_capped_by_what_the_batch_system_or_the_node_gives(
    tmp_path: Path, node: str, folder: str, found: int, source: str
) -> None:
    clock = HandClock()
    capped = probe_on(node, tmp_path / "a", clock, Caps(cores=99), folder)
    wanted = probe_on(node, tmp_path / "b", clock, Caps(cores=99, overcommit=True), folder)
    fewer = probe_on(node, tmp_path / "c", clock, Caps(cores=1), folder)
    (said,) = capped.capped()

    assert (capped.cores(), wanted.cores(), fewer.cores()) == (found, 99, 1)
    assert (said.what, said.asked, said.offered) == ("cores", 99, found)
    assert source in said.why
    assert not wanted.capped() and not fewer.capped()


def test_cores_that_nobody_says_anything_about_are_believed(tmp_path: Path) -> None:
    probe = probe_on("nothing", tmp_path, HandClock(), Caps(cores=99))

    assert probe.cores() == 99 and not probe.capped()


def test_a_setting_may_raise_memory_above_what_is_free_now_but_not_above_a_limit(
    tmp_path: Path,
) -> None:
    clock = HandClock()

    plain = probe_on("debian12-vm", tmp_path / "a", clock, Caps(memory_mb=16_000))
    job = probe_on("el7-slurm-cgroup1", tmp_path / "b", clock, Caps(memory_mb=64_000))

    assert plain.memory_mb() == 16_000
    assert job.memory_mb() == 16_777
    assert [(one.what, one.asked, one.offered) for one in job.capped()] == [
        ("memory_mb", 64_000, 16_777)
    ]


def test_the_time_left_is_the_least_of_setting_and_batch_system_and_goes_by(
    tmp_path: Path,
) -> None:
    clock = HandClock()
    batch = probe_on("debian13-slurm", tmp_path / "a", clock)
    both = probe_on("debian13-slurm", tmp_path / "b", clock, Caps(wall_s=60.0))
    none = probe_on("debian12-vm", tmp_path / "c", clock)

    clock.at += 50

    assert batch.wall_left_s() == 1797.0 - 50
    assert both.wall_left_s() == 10.0
    assert none.wall_left_s() == WALL_DEFAULT_S - 50


async def test_a_limit_that_is_changed_is_seen_and_silence_changes_nothing(tmp_path: Path) -> None:
    answers = Printing("1|29:57|30:00", "", "1|1-00:00:00|1-00:30:00", "1|10:00|1-00:30:00")
    node = recorded.load("debian13-slurm")
    del node.environ["SLURM_JOB_END_TIME"]
    around: Surroundings = replace(node.surroundings(tmp_path), run=answers)
    clock = HandClock()
    probe = LocalNode(tmp_path, clock, around, isolation="session")
    left, said = [probe.wall_left_s()], list[float | None]()

    for _ in range(3):
        clock.at += 100
        said.append(await probe.time_left_again())
        left.append(probe.wall_left_s())

    assert left == [1797.0, 1697.0, 86_400.0, 600.0]
    assert said == [None, 86_400.0, 600.0]
    assert probe.time_left.source == "squeue TIME_LEFT"


def test_what_no_setting_names_the_gpus_are_found(tmp_path: Path) -> None:
    probe = probe_on("gpu-a100-slurm", tmp_path, HandClock())

    assert (probe.gpus().count, probe.gpus().compute_capability) == (2, "8.0")
    assert [device[-2:] for device in probe.gpus().devices] == ["01", "03"]


def test_what_is_declared_of_gpus_goes_before_what_is_found(tmp_path: Path) -> None:
    found = probe_on("gpu-a100-slurm", tmp_path / "a", HandClock())
    none = probe_on("debian12-vm", tmp_path / "b", HandClock())

    one = DeclaredNode(found, gpus=Gpus(count=1, memory_mb=30_000)).gpus()
    said = Gpus(count=2, vendor="amd")

    assert (one.count, one.memory_mb, one.vendor) == (1, 30_000, "nvidia")
    assert [device[-2:] for device in one.devices] == ["01"]
    more = Gpus(count=3)
    assert DeclaredNode(found, gpus=more).gpus() == found.gpus()
    assert DeclaredNode(found, gpus=more, overcommit=True).gpus().count == 3
    assert DeclaredNode(found, gpus=more, overcommit=True).gpus().devices == ()  # not all named
    assert DeclaredNode(found).gpus() == found.gpus()
    assert DeclaredNode(none, gpus=said).gpus() == said


def test_a_core_is_calibrated_by_the_factor_of_the_element(tmp_path: Path) -> None:
    around = recorded.load("debian12-vm").surroundings(tmp_path)
    measured = SourcedValue(Benchmark("pilotage-1", 1.25), "measured")

    def hs23(factor: float) -> float:
        probe = LocalNode(
            tmp_path,
            HandClock(),
            around,
            isolation="session",
            benchmark=measured,
            hs23_per_score=factor,
        )
        assert probe.node().benchmark == measured.value
        return probe.node().hs23_per_core

    assert hs23(0.0) == 0.0  # not calibrated: it is never called HS23
    assert hs23(16.0) == 20.0


def test_a_payload_in_a_namespace_proves_that_there_are_some(tmp_path: Path) -> None:
    around = recorded.load("kubernetes-pod").surroundings(tmp_path)

    settings = LocalNode(tmp_path, HandClock(), around, isolation="bubblewrap")
    proof = LocalNode(tmp_path, HandClock(), around, isolation="unshare")

    assert not settings.node().user_namespaces
    assert proof.node().user_namespaces
