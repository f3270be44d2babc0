"""Probe pilots over stores and elements in memory: the step that fails is named."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.errors import Refused
from pilotage.central.factory.commands import CompletedCommand
from pilotage.central.factory.drivers import Tools
from pilotage.central.factory.element import (
    ComputeElement,
    PilotOutput,
    PilotRequest,
    SlotState,
    SubmitResult,
)
from pilotage.central.factory.element_book import ElementBook
from pilotage.central.factory.errors import CredentialExpired, Denied, ElementOperation
from pilotage.central.factory.pilot_requests import PilotDefaults
from pilotage.central.factory.reconciliation import ReconcileResult
from pilotage.central.factory.site_checks import SiteChecks
from pilotage.central.factory.site_files.sites import ElementEntry
from pilotage.central.factory.start_script import END
from pilotage.central.identity.secret_hashes import hashed
from pilotage.central.observe.events import EVENTS
from pilotage.central.pilots import record as pilot_records, record_slots as slot_records
from pilotage.central.pilots.record_types import PilotRow, Registration
from pilotage.proto.api.sites import CheckState, ElementCheck, SiteCheck, SiteCheckRequest
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.problems import Code
from tests.fake_element import FakeElement
from tests.memory_store import MemoryStore

from .test_factory import Counting, HandClock

STEPS = ["reach", "credential", "authorise", "submit", "start", "register", "ask", "end"]
PIC = "elements:\n  slurm: {kind: fake}\n"


class Element(FakeElement):
    """Does with a pilot what the test says, as soon as it is submitted."""

    def __init__(self, then: "Callable[[Element, str, str], object]") -> None:
        super().__init__()
        self._then = then
        self.refuses_us: Exception | None = None

    async def reach(self) -> None:
        if self.refuses_us is not None:
            raise self.refuses_us
        await super().reach()

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        submitted = await super().submit(requests)
        for request in requests:
            secret = request.script.decode().split(f"<<'{END}' &\n")[1].splitlines()[0]
            self._then(self, submitted.slots[request.stamp], secret)
        return submitted


class NoCommands:
    """No program is run here."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        raise AssertionError(argv)


@dataclass
class Stage:
    """A site with one element, and who checks it."""

    folder: Path
    element: Element
    text: str = PIC
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: HandClock = field(default_factory=HandClock)
    asked: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        (self.folder / "PIC.yaml").write_text(self.text)
        self.book = ElementBook(self.folder, self._tools, self.log, make=self._make)
        self.checks = SiteChecks(
            book=self.book,
            store=self.store,
            origin=PilotDefaults(
                "ctao", "https://central:8470", "#!/bin/sh\n", made_by="site check"
            ),
            has_asked=self.asked.__contains__,
            held=lambda site, element: "",
            clock=self.clock,
            randomness=Counting(),
            log=self.log,
        )

    def _tools(self, site: str, name: str, entry: ElementEntry) -> Tools:
        return Tools(NoCommands(), self.clock, self.folder)

    def _make(self, kind: str, entry: ElementEntry, tools: Tools) -> ComputeElement:
        return self.element

    def log(self, event: str, **fields: Any) -> None:
        assert set(fields) == EVENTS[event]

    async def check(self, *, timeout_s: float = 60) -> SiteCheck:
        wanted = SiteCheckRequest(timeout_s=timeout_s)
        running = asyncio.get_running_loop().create_task(self.checks.run())
        try:
            found = await self.checks.begin("PIC", wanted)
            while not found.done:
                await asyncio.sleep(0)
                found = self.checks.get(found.check)
        finally:
            running.cancel()
        return found

    async def states(self) -> list[tuple[PilotState, str]]:
        rows = await self.store.read(pilot_records.pilots, None, states=(), after="", limit=9)
        return [(row.state, row.reason) for row in rows]


def states(check: ElementCheck) -> dict[str, str]:
    return {one.step: one.state.value for one in check.steps}


def failed(check: ElementCheck) -> tuple[str, str]:
    """Return the step that failed and why; those after it are left out."""
    (bad,) = [one for one in check.steps if one.state is CheckState.FAILED]
    assert bad.do
    assert {
        one.step: one.state for one in check.steps if one.state is CheckState.LEFT_OUT
    }.keys() <= {
        *STEPS[STEPS.index(bad.step) :],
        "reach",
    }
    return bad.step, bad.why


def nothing(element: Element, slot: str, secret: str) -> None:
    """It stays in the queue."""


async def test_a_probe_that_goes_all_the_way_is_well(tmp_path: Path) -> None:
    lives: list[asyncio.Task[None]] = []

    def then(element: Element, slot: str, secret: str) -> None:
        lives.append(asyncio.get_running_loop().create_task(live(element, slot, secret)))

    async def live(element: Element, slot: str, secret: str) -> None:
        element.says(slot, SlotState.RUNNING)
        row = await stage.store.write(
            pilot_records.register,
            Registration(
                secret_hash=hashed(secret),
                nonce="n",
                renewal_hash="r",
                host="wn1",
                node=b"{}",
                at=stage.clock.wall(),
            ),
        )
        stage.asked.add(row.pilot)
        await asyncio.sleep(0)
        await stage.store.write(
            pilot_records.move_pilot,
            row.pilot,
            PilotState.RUNNING,
            PilotState.DONE,
            stage.clock.wall(),
            "said good-bye",
        )

    stage = Stage(tmp_path, Element(then))
    (element,) = await stage.book.fresh()
    element.in_vain = 3
    element.failed(Denied(ElementOperation.SUBMIT, "no such queue"), stage.clock.monotonic())
    found = await stage.check()
    (script,) = [one.request.script.decode() for one in stage.element.pilots.values()]

    assert found.ok
    assert states(found.elements[0]) == dict.fromkeys(STEPS, "ok")
    assert "--required-tags=probe-" in script, "no job is for it"
    assert "--idle-s=5" in script
    assert (element.trouble, element.pause_s, element.in_vain) == ("", 0.0, 0)
    assert element.open_at <= stage.clock.monotonic(), "jobs bring pilots there at once"


TROUBLES: dict[str, tuple[Callable[[Element], object], str, str]] = {
    "is down": (lambda it: setattr(it, "is_down", True), "reach", "the test says so"),
    "an expired token": (
        lambda it: setattr(it, "refuses_us", CredentialExpired("token: ended an hour ago")),
        "credential",
        "ended an hour ago",
    ),
    "no right": (
        lambda it: setattr(
            it, "refuses_us", Denied(ElementOperation.AUTHORISE, "403: not in the list")
        ),
        "authorise",
        "not in the list",
    ),
    "no account": (lambda it: setattr(it, "refuses", True), "submit", "no such account"),
    "a lost reply": (
        lambda it: setattr(it, "loses_replies", True),
        "submit",
        "may be queued there",
    ),
    "a driver's bug": (lambda it: setattr(it, "breaks", KeyError("x")), "reach", "KeyError"),
}


@pytest.mark.parametrize("name", TROUBLES)
async def test_what_fails_before_a_pilot_waits_is_named(name: str, tmp_path: Path) -> None:
    spoil, step, why = TROUBLES[name]
    stage = Stage(tmp_path, Element(nothing))
    spoil(stage.element)
    found = await stage.check()

    assert not found.ok
    at, told = failed(found.elements[0])
    assert at == step
    assert why in told
    assert all(state is PilotState.ABORTED for state, _ in await stage.states())
    assert len(stage.element.cancelled) == len(stage.element.pilots), "nothing is left behind"


async def test_an_element_that_a_probe_did_not_get_into_is_shown_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Element(nothing))
    stage.element.refuses_us = Denied(ElementOperation.AUTHORISE, "403: not in the list")
    (before,) = await stage.book.fresh()
    before.found, before.asked_at = ReconcileResult(), stage.clock.monotonic()
    await stage.check()
    (element,) = stage.book.in_force()

    assert element.found is None, "a `?` is shown"
    assert element.is_to_be_asked(stage.clock.monotonic())
    assert element.trouble == "authorise: 403: not in the list"
    assert element.open_at > stage.clock.monotonic()


async def test_checks_that_are_asked_for_while_the_files_are_read_are_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Element(nothing))
    stage.book.look_again()
    wanted = SiteCheckRequest(timeout_s=60)
    found = await asyncio.gather(*(stage.checks.begin("PIC", wanted) for _ in range(100)))

    assert len({one.check for one in found}) == 1


async def test_a_probe_that_stays_in_the_queue_is_taken_back_when_its_time_is_over(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, Element(nothing))
    began = stage.clock.monotonic()
    found = await stage.check(timeout_s=30)

    assert failed(found.elements[0]) == (
        "start",
        "not within 30 s; the element reports it as queued",
    )
    assert stage.element.cancelled == ["1"]
    assert await stage.states() == [(PilotState.ABORTED, "the check has ended")]
    assert stage.clock.monotonic() - began < 60


async def test_a_probe_that_ends_before_it_speaks_shows_what_it_printed(tmp_path: Path) -> None:
    def then(element: Element, slot: str, secret: str) -> None:
        element.says(slot, SlotState.ENDED, exit_code=23)
        element.pilots[slot].output = PilotOutput(stderr=b"no python3 here\n")

    stage = Stage(tmp_path, Element(then))
    found = await stage.check()

    assert failed(found.elements[0]) == (
        "register",
        "it ended before it asked for work, with exit code 23",
    )
    assert found.elements[0].said == "no python3 here\n"
    kept = await stage.store.read(slot_records.slot_output, found.elements[0].pilot)
    assert kept is not None
    assert (kept.exit_code, kept.stderr) == (23, b"no python3 here\n")


@pytest.mark.parametrize(
    ("code", "advice"), [(21, "for a private certificate `pilot.ca`"), (1, "read its output")]
)
async def test_the_end_of_the_script_says_what_may_help(
    code: int, advice: str, tmp_path: Path
) -> None:
    def then(element: Element, slot: str, secret: str) -> None:
        element.says(slot, SlotState.ENDED, exit_code=code)

    found = await Stage(tmp_path, Element(then)).check()
    (bad,) = [one for one in found.elements[0].steps if one.state is CheckState.FAILED]

    assert bad.step == "register"
    assert advice in bad.do


async def test_a_probe_whose_end_the_factory_saw_first_has_started(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Element(nothing))

    async def seen_first() -> None:
        rows: list[PilotRow] = []
        while not rows:
            await asyncio.sleep(0)
            rows = await stage.store.read(pilot_records.pilots, None, states=(), after="", limit=9)
        why = {rows[0].pilot: "it ended before it asked for work, with exit code 24"}
        await stage.store.write(
            slot_records.end_waiting, why, PilotState.FAILED, stage.clock.wall()
        )

    found, _ = await asyncio.gather(stage.check(), seen_first())

    assert failed(found.elements[0]) == (
        "register",
        "it ended before it asked for work, with exit code 24",
    )


async def test_a_paused_and_disabled_element_is_checked_all_the_same(tmp_path: Path) -> None:
    text = "elements:\n  slurm: {kind: fake, enabled: false, pilots_max: 0}\n"
    stage = Stage(tmp_path, Element(nothing), text)
    found = await stage.check(timeout_s=10)

    assert found.elements[0].held == "disabled"
    assert states(found.elements[0])["submit"] == "ok"


async def test_a_site_that_no_file_names_or_whose_file_does_not_read_is_refused(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, Element(nothing))
    (tmp_path / "BAD.yaml").write_text("elements: {x: {kind: fake, optoins: {}}}\n")

    for site, code, why in (
        ("NONE", Code.NOT_FOUND, "no site's file"),
        ("BAD", Code.ILLEGAL_STATE, "did you mean 'options'"),
    ):
        with pytest.raises(Refused, match=why) as refused:
            await stage.checks.begin(site, SiteCheckRequest(timeout_s=60))
        assert refused.value.code is code
        assert str(refused.value).endswith("after a change, reload the central)")
    with pytest.raises(Refused, match="no check"):
        stage.checks.get("c7")
