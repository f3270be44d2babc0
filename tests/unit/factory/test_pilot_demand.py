"""What is promised of pilots is what they offer, and which jobs bring them."""

import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pilotage.central.factory.element_watch import WatchedElement
from pilotage.central.factory.pilot_requests import PilotDefaults, new_pilot
from pilotage.central.factory.planning.communities import CommunityShape
from pilotage.central.factory.planning.pilot_demand import START_S, PilotDemand, offer
from pilotage.central.factory.planning.plans import Demand, PlanBounds
from pilotage.central.factory.site_files.sites import NodesEntry, PilotEntry, Shape
from pilotage.central.pilots.presence import Presence
from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.pilot.data.drivers import programs
from pilotage.pilot.data.root_storage import RootStorage
from pilotage.pilot.node.capacity import capacity
from pilotage.pilot.node.declarations import Accepts, DeclaredNode
from pilotage.pilot.node.probe import Caps, LocalNode
from pilotage.pilot.settings import Settings, load
from pilotage.proto.amounts import read_amounts
from pilotage.proto.declarations import margin_s
from pilotage.proto.documents.job import Need
from pilotage.proto.facts import OF_NODE, OF_OFFER
from pilotage.proto.pilot_states import PilotState

from ...nodes import recorded
from .test_factory import Counting, HandClock, Stage, Waiting, a_class, an_element

ORIGIN = PilotDefaults("ctao", "https://central:8470", "#!/bin/sh\n")
LIMITS: dict[str, Any] = {
    "required_tags": ("gold",),
    "types": ("User",),
    "groups": ("production",),
    "owners": ("alice",),
}


def nodes(**said: Any) -> NodesEntry:
    return msgspec.convert(said, NodesEntry)


# Of nodes, all that there is to say in a site's file.
FILES: dict[str, tuple[str, Shape, PilotEntry, NodesEntry]] = {
    "el9-htcondor-cgroup2": (
        "pool/condor/dir_3344",
        Shape(cores=8, memory_mb=16_000, wall_s=7_200, scratch_mb=167_772),
        PilotEntry(
            os="el9",
            tags=("ssd", "xrootd"),
            cvmfs=("sw.cta.example", "oasis.opensciencegrid.org"),
            stop_margin_s=300.0,
            hs23_per_core=17.5,
            amounts={"net_mbps": 100, "shm_mb": 5},
            **LIMITS,
        ),
        nodes(
            images=("sif", "folder", "tar", "docker"),
            architecture_level=3,
            glibc="2.34",
            user_namespaces=True,
        ),
    ),
    "gpu-a100-slurm": (
        "srv/pilot",
        Shape(cores=16, memory_mb=64_000, wall_s=300, scratch_mb=1_000_000, gpus=2),
        PilotEntry(os="el8", registries=("ghcr.io", "docker.io")),
        nodes(
            images=("sif", "folder", "docker"),
            architecture_level=3,
            glibc="2.28",
            user_namespaces=True,
            gpu_vendor="nvidia",
            gpu_memory_mb=42_949,
            gpu_compute_capability="8.0",
            gpu_driver="535.104.05",
        ),
    ),
}


class Now:
    """A pilot's clock."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def told(element: WatchedElement, shape: Shape) -> Settings:
    """Return the settings of a pilot by the script that its element runs."""
    request, _ = new_pilot(
        ORIGIN, element, shape, "shape 0", clock=HandClock(), randomness=Counting()
    )
    (line,) = [one for one in request.script.decode().splitlines() if 'pilot.sh" run' in one]
    words = [one for one in shlex.split(line.split("<<")[0]) if "=" in one]
    options = dict(one.removeprefix("--").split("=", 1) for one in words)
    return load("", {}, {name.replace("-", "_"): value for name, value in options.items()})


def offered(settings: Settings, name: str, folder: str, root: Path) -> LiveOffer:
    """Return what a pilot of these settings offers on a node, a minute after its start."""
    clock = Now()
    caps = Caps(
        cores=settings.cores,
        memory_mb=settings.memory_mb,
        wall_s=settings.wall_s,
        tags=settings.tags,
        cvmfs=settings.cvmfs,
        registries=settings.registries,
    )
    around = recorded.load(name).surroundings(root)
    needed = programs({"root": RootStorage()})
    found = LocalNode(root / folder, clock, around, isolation="session", caps=caps, programs=needed)
    node = DeclaredNode(found, os=settings.os, hs23_per_core=settings.hs23_per_core)
    accepts = Accepts(settings.required_tags, settings.types, settings.groups, settings.owners)
    stop_at = node.wall_left_s() - margin_s(settings.stop_margin_s, node.wall_left_s())
    clock.at += START_S
    presence = Presence(
        pilot="",
        community="ctao",
        site="PIC",
        element="slurm",
        session=1,
        state=PilotState.RUNNING,
        node=node.node(),
        registered_at=0.0,
        heard=0.0,
    )
    said = capacity(node, node.node(), accepts, read_amounts(settings.amounts))
    return presence.live_offer(replace(said, wall_left_s=stop_at - clock.at))


def test_a_file_can_say_each_fact_that_jobs_ask_for_and_that_nothing_else_says() -> None:
    facts = {*OF_NODE, *OF_OFFER} - {"namespaces"}  # its isolation says this one

    assert set(NodesEntry.__struct_fields__) == {"images", *facts}


@pytest.mark.parametrize("name", FILES)
def test_a_pilot_offers_what_was_promised_of_it(name: str, tmp_path: Path) -> None:
    folder, shape, pilot, nodes = FILES[name]
    element, _ = an_element(shapes=(shape,), pilot=pilot, nodes=nodes)

    promised = offer(CommunityShape(element, 0, "ctao"))

    assert offered(told(element, shape), name, folder, tmp_path) == promised


def brought(element: WatchedElement, *needs: Need) -> list[bool]:
    """Return of each need whether a job of it brings a pilot to an element."""
    work = Waiting()
    found: list[bool] = []
    for need in needs:
        work.jobs = {need: 1}
        fresh = PilotDemand(work, ("ctao",))
        fresh.look([element])
        found.append(any(one.places for one in fresh.demands()))
    return found


def test_jobs_of_cpu_work_bring_pilots_where_the_cores_are_measured() -> None:
    measured, _ = an_element(
        pilot=PilotEntry(hs23_per_core=10.0), shapes=(Shape(wall_s=10_000, cores=2),)
    )
    unmeasured, _ = an_element(shapes=(Shape(wall_s=10_000, cores=2),))
    enough, less = (Need(wall_s=60, cpu_work_hs23_s=work) for work in (98_000, 99_000))

    assert brought(measured, enough, less) == [True, False]
    assert brought(unmeasured, enough) == [False]


@pytest.mark.parametrize(
    ("said", "fits", "more"),
    [
        (Shape(memory_mb=1_000), Need(memory_mb=1_000), Need(memory_mb=1_001)),
        (Shape(scratch_mb=1_000), Need(scratch_mb=1_000), Need(scratch_mb=1_001)),
    ],
)
def test_what_is_not_said_of_memory_and_scratch_is_no_bound(
    said: Shape, fits: Need, more: Need
) -> None:
    element, _ = an_element(shapes=(said,))
    unsaid, _ = an_element(shapes=(Shape(),))

    assert brought(element, fits, more) == [True, False]
    assert brought(unsaid, fits, more) == [True, True]


@pytest.mark.parametrize(("stop_margin_s", "margin"), [(0.0, 60.0), (10.0, 10.0), (900.0, 100.0)])
def test_a_pilot_is_promised_up_to_its_margin_which_is_a_tenth_of_its_time_at_most(
    stop_margin_s: float, margin: float
) -> None:
    shape = Shape(wall_s=1_000)
    element, _ = an_element(shapes=(shape,), pilot=PilotEntry(stop_margin_s=stop_margin_s))

    assert offer(CommunityShape(element, 0, "ctao")).wall_left_s == 1_000 - margin - START_S


def test_a_job_of_several_needs_waits_for_the_least_of_each() -> None:
    element, _ = an_element(shapes=(Shape(cores=8, memory_mb=16_000),))
    outlook = PilotDemand(Several(), ("ctao",))
    outlook.look([element])

    assert outlook.demands() == [Demand(1, 3, cores=2, memory_mb=1_000)]


@pytest.mark.parametrize(
    ("need", "demand"),
    [
        (
            Need(cores_min=4, memory_mb=1_000, memory_per_core_mb=2_000),
            Demand(1, 3, cores=4, memory_mb=9_000),
        ),
        (Need(gpus_min=2, scratch_mb=7), Demand(1, 3, cores=1, gpus=2, scratch_mb=7)),
        (Need(whole_node=True), Demand(1, 3, cores=1, whole_node=True)),
    ],
    ids=str,
)
def test_a_demand_tells_all_amounts_that_a_job_takes_of_a_pilot(need: Need, demand: Demand) -> None:
    shape = Shape(cores=8, memory_mb=16_000, scratch_mb=100, gpus=2)
    element, _ = an_element(shapes=(shape,))
    waiting = Waiting()
    waiting.jobs[need] = 3
    outlook = PilotDemand(waiting, ("ctao",))
    outlook.look([element])

    assert outlook.demands() == [demand]


class Several(Waiting):
    """Jobs that would do with much memory or with many cores."""

    def waiting(self) -> Iterable[tuple[ClassSpec, int]]:
        needs = Need(cores_min=4, memory_mb=1_000), Need(cores_min=2, memory_mb=9_000)
        yield a_class(*needs), 3


@pytest.mark.parametrize(
    ("entry", "bounds", "why"),
    [
        ({"submit_max": 0}, PlanBounds(), "its submit_max is 0"),
        ({}, PlanBounds(pilots_max=0), "factory.pilots_max is 0"),
        ({}, PlanBounds(submit_max=0), "factory.submit_max is 0"),
        ({}, PlanBounds(pilots_max=2), "all sites have 2 pilots, factory.pilots_max is 2"),
    ],
)
async def test_nobody_is_promised_a_pilot_that_a_limit_lets_not_come(
    entry: dict[str, Any], bounds: PlanBounds, why: str
) -> None:
    other, _ = an_element("other", pilot=PilotEntry(os="el8"))
    element, driver = an_element(**entry)
    stage = Stage(other, element, bounds=bounds)
    stage.work.jobs[Need(os="el8")] = 2
    await stage.factory.cycle()
    stage.work.jobs[Need(os="el9")] = 1
    for _ in range(3):
        await stage.factory.cycle()
        stage.clock.now += 15

    assert stage.factory.prospects(a_class(Need(os="el9"))) == [
        f"no pilot comes: PIC/slurm {stage.factory.held(element)}"
    ]
    assert why in stage.factory.held(element)
    assert driver.pilots == {}


async def test_a_job_that_has_just_come_is_told_where_pilots_can_be_submitted() -> None:
    element, _ = an_element()
    stage = Stage(element)
    stage.work.jobs[Need(os="el8")] = 1
    await stage.factory.cycle()

    said = stage.factory.prospects(a_class(Need(os="el9")))

    assert said == ["pilots for it can be submitted to PIC/slurm"]


async def test_pilots_that_are_taken_back_are_not_on_their_way_to_a_job() -> None:
    element, _ = an_element(cancel_max=1)
    stage = Stage(element)
    stage.work.jobs[Need()] = 3
    for _ in range(2):
        await stage.factory.cycle()
    stage.work.draining.add("PIC")

    (said,) = stage.factory.prospects(a_class(Need()))

    assert "is draining" in said


async def test_what_a_file_says_anew_is_what_jobs_are_planned_by() -> None:
    before, first = an_element(pilot=PilotEntry(os="el8"))
    after, second = an_element(pilot=PilotEntry(os="el9"))
    stage = Stage(before)
    stage.work.jobs[Need(os="el9")] = 1
    await stage.factory.cycle()
    stage.watched[:] = [after]
    await stage.factory.cycle()

    assert (len(first.pilots), len(second.pilots)) == (0, 1)


@pytest.mark.parametrize("which", ["element", "site"])
async def test_what_a_file_disables_gets_no_pilot(which: str) -> None:
    element, driver = an_element(enabled=which != "element")
    if which == "site":
        element.site_entry = msgspec.structs.replace(element.site_entry, enabled=False)
    stage = Stage(element)
    stage.work.jobs[Need()] = 1
    for _ in range(2):
        await stage.factory.cycle()

    assert driver.pilots == {}
    assert stage.factory.prospects(a_class(Need())) == [
        "no pilot comes: PIC/slurm is not enabled in its file"
    ]
