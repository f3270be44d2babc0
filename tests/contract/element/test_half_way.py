"""A submission that fails half way: what is said not to have happened has left nothing behind.

Every call that a driver makes while it submits fails once, and from then on, in all the ways that
say little. What its batch system has taken then is found by its stamp, or nobody says it was not.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.factory.commands import CommandOutcomeUnknown, CompletedCommand
from pilotage.central.factory.drivers import Tools, element
from pilotage.central.factory.element import ComputeElement, PilotRequest
from pilotage.central.factory.errors import Denied, ElementUnreachable
from pilotage.central.operate.clocks import SystemClock
from tests import elements_in_memory as memory

from .rig import Token

STAMPS = ("t-half-way-1", "t-half-way-2")
REQUESTS = [PilotRequest(stamp, b"#!/bin/sh\n") for stamp in STAMPS]
CALLS_MAX = 8  # of a submission of two pilots, with what follows when it fails
LOGIN = {"host": "h", "user": "u", "key_file": "/k", "known_hosts": "/n"}
TIMED_OUT = b"sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
VAGUE: tuple[CompletedCommand | CommandOutcomeUnknown, ...] = (
    CommandOutcomeUnknown("the line was cut"),
    CompletedCommand(-9, b"", b""),
    CompletedCommand(2, b"", b"sh: 0: Cannot fork"),
    CompletedCommand(137, b"", b"Killed"),
)
PROGRAMS: dict[str, tuple[str, dict[str, Any], Callable[[], memory.Program], tuple[bytes, ...]]] = {
    "slurm": (
        "slurm",
        {"folder": "/out"},
        memory.Slurm,
        (
            TIMED_OUT,
            b"sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
            b"sbatch: error: Batch job submission failed: Unexpected message received",
            b"sbatch: error: Batch job submission failed: Unable to contact slurm controller",
            b"",
        ),
    ),
    "slurm behind ssh": (
        "ssh",
        {**LOGIN, "batch": "slurm", "batch_options": {"folder": "/out"}},
        memory.Slurm,
        (TIMED_OUT,),
    ),
    "htcondor": (
        "htcondor",
        {"folder": "/jobs"},
        memory.Htcondor,
        (
            b"ERROR: Failed to spool job files.",
            b"AUTHENTICATE:1003:Failed\nERROR: Failed to spool job files.",
            b"ERROR: Failed to commit job submission into the queue.",
            b'SECMAN:2010:Received "DENIED" from server',
            b"",
        ),
    ),
    "local": ("local", {}, memory.Bare, ()),
    "ssh": ("ssh", LOGIN, memory.Bare, ()),
}
WEBS: dict[str, tuple[dict[str, Any], Callable[[], memory.Web]]] = {
    "arc": ({"url": "https://arc.test/arex"}, memory.Arc),
    "kubernetes": (
        {"url": "https://k8s.test", "namespace": "pilots", "image": "pilot:1"},
        memory.Kubernetes,
    ),
}
# A status, and whether it was done all the same: who refuses with good reason has done nothing.
# 404 of all things is none of them: an element that says so of a job that it has is not to be held.
FAULTS = [
    *((status, False) for status in (400, 401, 403, 413, 422)),
    *((status, done) for status in (0, 408, 429, 500, 502, 503) for done in (True, False)),
]


async def wrong_of(
    made: ComputeElement, taken: Callable[[], dict[str, str]], heal: Callable[[], None]
) -> list[str]:
    """Return what a submission says that is not so. `heal`: lets the element answer again."""
    try:
        submitted = await made.submit(REQUESTS)
    except ElementUnreachable:
        said: set[str] = set()
    except Denied:
        said = set(STAMPS)
    else:
        said = set(submitted.refused)
    there = set(taken().values())
    heal()
    found = await made.find(STAMPS)
    wrong = [f"{stamp} is said to be refused, and is there" for stamp in said & there]
    return wrong + [f"{stamp} is there and not found" for stamp in there - set(found)]


@pytest.mark.parametrize("name", PROGRAMS)
async def test_programs_that_fail_half_way_leave_nothing_unknown(name: str, tmp_path: Path) -> None:
    kind, options, start, words = PROGRAMS[name]
    outcomes = [*VAGUE, *(CompletedCommand(1, b"", one) for one in words)]
    wrong: list[str] = []
    for outcome in outcomes:
        for at in range(CALLS_MAX):
            for goes_on in (False, True):
                programs = memory.Programs(start())
                made = element(kind, options, Tools(programs, SystemClock(), tmp_path))

                def spoil(
                    number: int,
                    at: int = at,
                    goes_on: bool = goes_on,
                    outcome: CompletedCommand | CommandOutcomeUnknown = outcome,
                ) -> CompletedCommand | CommandOutcomeUnknown | None:
                    return outcome if number == at or (goes_on and number > at) else None

                def heal(programs: memory.Programs = programs) -> None:
                    programs.spoil = lambda number: None

                programs.spoil = spoil
                jobs = programs.memory.jobs
                where = f"call {at}{' and on' if goes_on else ''}: {outcome!r}: "
                wrong += [where + one for one in await wrong_of(made, jobs.copy, heal)]

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", WEBS)
async def test_requests_that_fail_half_way_leave_nothing_unknown(kind: str, tmp_path: Path) -> None:
    options, start = WEBS[kind]
    wrong: list[str] = []
    for fault in FAULTS:
        for at in range(CALLS_MAX):
            for goes_on in (False, True):
                web = memory.Requests(start())
                tools = Tools(
                    memory.Programs(memory.Bare()), SystemClock(), tmp_path, Token("t"), web
                )
                made = element(kind, options, tools)

                def spoil(
                    number: int,
                    at: int = at,
                    goes_on: bool = goes_on,
                    fault: tuple[int, bool] = fault,
                ) -> tuple[int, bool] | None:
                    return fault if number == at or (goes_on and number > at) else None

                def heal(web: memory.Requests = web) -> None:
                    web.fault = lambda number: None

                web.fault = spoil
                jobs = web.memory.jobs
                where = f"request {at}{' and on' if goes_on else ''}: {fault}: "
                wrong += [where + one for one in await wrong_of(made, jobs.copy, heal)]

    assert not wrong, "\n".join(wrong)


REFUSED = b"sbatch: error: Batch job submission failed: "


@pytest.mark.parametrize(
    "words",
    [
        REFUSED + b"Invalid partition name specified",
        REFUSED + b"Invalid account or account/partition combination specified",
        REFUSED + b"Requested node configuration is not available",
        REFUSED + b"Required partition not available (inactive or drain)",
        REFUSED + b"Job violates accounting/QOS policy (job submit limit, user's size)",
        b"sbatch: error: Invalid generic resource (gres) specification",
        b"sbatch: unrecognized option '--frob'\nTry \"sbatch --help\" for more information",
    ],
)
async def test_what_slurm_refuses_is_told_as_refused(words: bytes, tmp_path: Path) -> None:
    programs = memory.Programs(memory.Slurm())
    programs.spoil = lambda number: CompletedCommand(1, b"", words) if number else None
    made = element("slurm", {"folder": "/out"}, Tools(programs, SystemClock(), tmp_path))

    with pytest.raises(Denied, match=words.decode().split(":")[-1][1:20]):
        await made.submit(REQUESTS)


async def test_an_arc_job_without_its_script_is_taken_away_and_its_pilot_refused(
    tmp_path: Path,
) -> None:
    web = memory.Requests(arc := memory.Arc())
    web.fault = lambda number: (413, False) if number == 1 else None
    tools = Tools(memory.Programs(memory.Bare()), SystemClock(), tmp_path, Token("t"), web)

    submitted = await element("arc", WEBS["arc"][0], tools).submit(REQUESTS)

    (refused,) = submitted.refused.values()
    assert "413" in refused
    assert set(arc.jobs.values()) == set(submitted.slots)
    assert set(arc.jobs) == arc.scripts
