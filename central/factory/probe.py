"""A probe pilot at one element: it names the step that fails, and what may help.

It is a pilot like any other, but no job is for it. If it does not register in time, it is
cancelled.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pilotage.proto.api.sites import CheckState, CheckStep, ElementCheck
from pilotage.proto.pilot_states import FINAL, PilotState

from ..pilots import record as pilot_records, record_slots as slot_records
from ..pilots.record_slots import NewSlot, SlotOutput
from ..pilots.record_types import PilotRow
from ..ports import Clock, Randomness
from ..store.engine import Store
from .element import PilotRequest, Slot, SlotState
from .element_watch import WatchedElement
from .errors import Denied, ElementOperation, ElementTrouble
from .pilot_requests import PilotDefaults, new_pilot
from .reconciliation import ENDED_EARLY

SHAPE = "probe"  # in its row: it counts for no shape of the plan
IDLE_S = 5.0  # it ends after this time without a job
LOOK_S = 0.5  # interval of looks at the store
ASK_S = 3.0  # interval of calls to the element
SAID_MAX = 4_000  # shown characters of its output
BACK_S = 30.0  # to cancel a pilot

STEPS: Mapping[str, str] = {  # step → what may help if it fails
    "reach": "check `url`, or `host` and `port`, in the site's file, and try its programs by hand",
    "credential": "check `credential` in the site's file, and renew an expired one",
    "authorise": "ask the site whether it accepts this credential, and which rights it has there",
    "submit": "check the options of the element: partition, queue, account, folder",
    "start": "check the queue of the batch system: is the partition open, and the size possible",
    "register": "read its output: a node must reach the central, and have Python 3.9 or later",
    "ask": "run `pilotage pilot logs` for it: the node reached the central only once",
    "end": "run `pilotage pilot logs` for it, and ask its batch system",
}
# Exit codes of `pilot.sh`, as in docs/pilot-bundle.md → what may help.
SCRIPT_ENDS: Mapping[int, str] = {
    20: "its node has no Python 3.9 or later: set PILOTAGE_PYTHON there",
    21: "it could not fetch the pilot from the central: check `http.url` and the network, and for a"
    " private certificate `pilot.ca` in the site's file",
    22: "it fetched a file without the central's signature: a proxy may have changed it",
    24: "it could not write or start the pilot: free space in TMPDIR of the node",
}
_OF_ELEMENT = ("reach", "credential", "authorise", "submit")  # steps before the element's queue
_EXIT_CODE = re.compile(r"with exit code (\d+)")


class _Failed(Exception):
    """A step has failed. The message says why."""


@dataclass
class _Steps:
    """The steps that have passed."""

    clock: Clock
    done: dict[str, CheckStep] = field(default_factory=dict[str, CheckStep])
    now: str = ""
    since: float = 0.0

    def begin(self, step: str) -> None:
        self.now, self.since = step, self.clock.monotonic()

    def ok(self) -> None:
        self._end(CheckState.OK)

    def failed(self, why: str) -> None:
        ended = _EXIT_CODE.search(why)
        advice = SCRIPT_ENDS.get(int(ended[1])) if ended is not None else None
        self._end(CheckState.FAILED, why, advice or STEPS[self.now])

    def _end(self, state: CheckState, why: str = "", do: str = "") -> None:
        took_s = round(self.clock.monotonic() - self.since, 3)
        self.done[self.now] = CheckStep(step=self.now, state=state, took_s=took_s, why=why, do=do)
        self.now = ""

    @property
    def has_failed(self) -> bool:
        return any(one.state is CheckState.FAILED for one in self.done.values())

    def view(self) -> list[CheckStep]:
        rest = CheckState.LEFT_OUT if self.has_failed else CheckState.OPEN
        return [
            self.done.get(step)
            or CheckStep(step=step, state=CheckState.BUSY if step == self.now else rest)
            for step in STEPS
        ]


class Probe:
    """One probe pilot at one element."""

    def __init__(
        self,
        element: WatchedElement,
        *,
        store: Store,
        origin: PilotDefaults,
        has_asked: Callable[[str], bool],
        clock: Clock,
        randomness: Randomness,
        timeout_s: float,
        held: str,
    ) -> None:
        self._element, self._store, self._origin = element, store, origin
        self._has_asked, self._clock, self._randomness = has_asked, clock, randomness
        self._timeout_s, self._held = timeout_s, held
        self._steps = _Steps(clock)
        self._pilot, self._slot, self._output = "", "", ""
        self._until = 0.0
        self._report = Slot(SlotState.QUEUED)  # the element's last report
        self._trouble = ""  # why there is no newer one
        self._ask_at = 0.0

    @property
    def is_ok(self) -> bool:
        return len(self._steps.done) == len(STEPS) and not self._steps.has_failed

    def view(self) -> ElementCheck:
        """Return the state of the probe."""
        return ElementCheck(
            element=self._element.name,
            kind=self._element.entry.kind,
            pilot=self._pilot,
            steps=self._steps.view(),
            said=self._output,
            held=self._held,
        )

    def broke(self, why: str) -> None:
        """Note that its driver failed in an unforeseen way."""
        if not self._steps.now:
            self._steps.begin(next(one for one in STEPS if one not in self._steps.done))
        self._steps.failed(why)

    async def run(self) -> None:
        """Try all steps, up to the first that fails."""
        self._until = self._clock.monotonic() + self._timeout_s
        try:
            await self._come_in()
            await self._submit()
            await self._live()
            self._element.is_well()
        except _Failed as why:
            if self._steps.now in _OF_ELEMENT:
                trouble = ElementTrouble(ElementOperation(self._steps.now), str(why))
                self._element.failed_check(trouble, self._clock.monotonic())
            self._steps.failed(str(why))
        finally:
            if self._pilot and not self.is_ok:
                await self._take_back()

    # -- coming in ------------------------------------------------------------------------------

    async def _come_in(self) -> None:
        """Reach the element with the credential."""
        steps, credential = self._steps, self._element.credential
        if credential is not None:  # first: nothing works without it
            steps.begin("credential")
            try:
                async with asyncio.timeout(self._left_s()):
                    await credential.current()
            except (ElementTrouble, TimeoutError) as why:
                raise _Failed(_error_text(why, self._timeout_s)) from None
            steps.ok()
        steps.begin("reach")
        try:
            async with asyncio.timeout(self._left_s()):
                await self._element.driver.reach()
        except (ElementTrouble, TimeoutError) as why:
            step = getattr(why, "step", ElementOperation.REACH)
            if step in (ElementOperation.CREDENTIAL, ElementOperation.AUTHORISE):
                steps.ok()
                self._pass("credential", until=step is ElementOperation.AUTHORISE)
                steps.begin(step.value)
            raise _Failed(_error_text(why, self._timeout_s)) from None
        steps.ok()
        self._pass("credential")
        self._pass("authorise")

    def _pass(self, step: str, *, until: bool = True) -> None:
        """Pass a step that a later one proves."""
        if until and step not in self._steps.done:
            self._steps.begin(step)
            self._steps.ok()

    # -- submission -----------------------------------------------------------------------------

    async def _submit(self) -> None:
        self._steps.begin("submit")
        request, row = self._request()
        await self._store.write(slot_records.add_slots, [row])
        self._pilot = request.stamp
        try:
            async with asyncio.timeout(self._left_s()):
                submitted = await self._element.driver.submit([request])
        except Denied as why:
            await self._give_up(f"{why}")
            if why.step in (
                ElementOperation.CREDENTIAL,
                ElementOperation.AUTHORISE,
            ):  # only queries work
                del self._steps.done[why.step.value]
                self._steps.begin(why.step.value)
            raise _Failed(why.why) from None
        except (ElementTrouble, TimeoutError) as why:
            text = _error_text(why, self._timeout_s)
            raise _Failed(f"{text}; the pilot may be queued there") from None
        if request.stamp in submitted.refused:
            await self._give_up(submitted.refused[request.stamp])
            raise _Failed(submitted.refused[request.stamp])
        if request.stamp not in submitted.slots:
            raise _Failed("the element did not report the outcome")
        await self._store.write(
            slot_records.place_slots, {request.stamp: submitted.slots[request.stamp]}
        )
        self._slot = submitted.slots[request.stamp]
        self._steps.ok()

    def _request(self) -> tuple[PilotRequest, NewSlot]:
        """Return a pilot that gets no job: no job asks for its required tag."""
        shape = min(self._element.entry.shapes, key=lambda one: (one.gpus, one.cores))
        return new_pilot(
            self._origin,
            self._element,
            shape,
            SHAPE,
            clock=self._clock,
            randomness=self._randomness,
            idle_s=IDLE_S,
            required_tags=(f"probe-x{self._randomness.token(6)}",),
        )

    # -- its life -------------------------------------------------------------------------------

    async def _live(self) -> None:
        steps = self._steps
        steps.begin("start")
        row = await self._wait(lambda row: row.registered_at is not None or self._has_started(row))
        is_queued = self._report.state is SlotState.QUEUED
        # The factory may have seen its start and its end before this check.
        if row.registered_at is None and is_queued and not row.reason.startswith(ENDED_EARLY):
            raise _Failed(f"it ended before it started: {row.reason}")
        steps.ok()
        steps.begin("register")
        row = await self._wait(lambda row: row.registered_at is not None or row.state in FINAL)
        if row.registered_at is None:
            raise _Failed(row.reason)
        steps.ok()
        steps.begin("ask")
        row = await self._wait(lambda row: self._has_asked(row.pilot) or _is_over(row))
        if row.state not in (PilotState.DONE, PilotState.RUNNING, PilotState.DRAINING):
            raise _Failed(f"it is {row.state.value}: {row.reason}")
        steps.ok()
        steps.begin("end")
        row = await self._wait(_is_over)
        if row.state is not PilotState.DONE:
            raise _Failed(f"it is {row.state.value}: {row.reason}")
        steps.ok()

    def _has_started(self, row: PilotRow) -> bool:
        return row.state in FINAL or self._report.state in (SlotState.RUNNING, SlotState.ENDED)

    async def _wait(self, there: Callable[[PilotRow], bool]) -> PilotRow:
        """Wait until `there` is true. Raises _Failed after the timeout or if the pilot ended."""
        while True:
            row = await self._store.read(pilot_records.pilot, self._pilot)
            if row is None:
                raise _Failed("the central has no record of it any more")
            if there(row):
                return row
            if row.registered_at is None and row.state not in FINAL:
                await self._ask_element()
                if there(row):
                    return row
            if self._clock.monotonic() >= self._until:
                raise _Failed(f"not within {self._timeout_s:g} s; {self._status_text(row)}")
            await self._clock.sleep(LOOK_S)

    async def _ask_element(self) -> None:
        """Ask the element about a pilot that has not been heard from."""
        now = self._clock.monotonic()
        if now < self._ask_at:
            return
        try:
            async with asyncio.timeout(self._left_s()):
                said = await self._element.driver.states([self._slot])
        except (ElementTrouble, TimeoutError) as why:
            self._trouble = _error_text(why, self._timeout_s)
        else:
            self._report, self._trouble = said[self._slot], ""
            await self._follow(self._report)
        self._ask_at = self._clock.monotonic() + ASK_S

    async def _follow(self, word: Slot) -> None:
        """End the pilot's row if the element says that it has ended or will not start."""
        why = f" ({word.why})" if word.why else ""
        if word.state is SlotState.HELD:
            raise _Failed(f"its element holds it{why}")
        if word.state is not SlotState.ENDED:
            return
        code = "" if word.exit_code is None else f", with exit code {word.exit_code}"
        reason = f"{ENDED_EARLY}{code}{why}"
        await self._store.write(
            slot_records.end_waiting, {self._pilot: reason}, PilotState.FAILED, self._clock.wall()
        )

    def _status_text(self, row: PilotRow) -> str:
        if row.registered_at is not None:
            return f"the pilot is {row.state.value}"
        if self._trouble:
            return f"the element does not answer: {self._trouble}"
        why = f" ({self._report.why})" if self._report.why else ""
        return f"the element reports it as {self._report.state.value}{why}"

    # -- afterwards -----------------------------------------------------------------------------

    async def _give_up(self, why: str) -> None:
        await self._store.write(
            slot_records.end_waiting, {self._pilot: why}, PilotState.ABORTED, self._clock.wall()
        )

    async def _take_back(self) -> None:
        """Cancel the pilot and remove its files, if the element answers; else the factory does."""
        driver, pilot = self._element.driver, self._pilot
        try:
            async with asyncio.timeout(BACK_S):
                if not self._slot:
                    self._slot = (await driver.find([pilot])).get(pilot, "")
                    if self._slot:
                        await self._store.write(slot_records.place_slots, {pilot: self._slot})
                await self._give_up("the check has ended")
                if self._slot:
                    if self._report.state is not SlotState.ENDED:
                        await driver.cancel([self._slot])
                    await self._keep_output()
        except (ElementTrouble, TimeoutError) as why:
            self._output = self._output or f"its output cannot be fetched: {why}"

    async def _keep_output(self) -> None:
        found = await self._element.driver.output(self._slot)
        kept = await self._store.read(slot_records.slot_output, self._pilot)
        if not (found.stdout or found.stderr) and kept is not None:
            printed = kept.stdout + kept.stderr
        else:
            printed = found.stdout + found.stderr
            code = self._report.exit_code
            output = SlotOutput(exit_code=code, stdout=found.stdout, stderr=found.stderr)
            await self._store.write(slot_records.keep_output, self._pilot, output)
        self._output = printed.decode("utf-8", "replace")[-SAID_MAX:]

    def _left_s(self) -> float:
        return max(0.001, self._until - self._clock.monotonic())


def _is_over(row: PilotRow) -> bool:
    return row.state in FINAL or row.state is PilotState.LOST


def _error_text(why: Exception, timeout_s: float) -> str:
    if isinstance(why, ElementTrouble):
        return why.why
    return f"no answer within {timeout_s:g} s"
