"""The guard of a simulated pilot: a process of its own, whose decisions are the shipped ones.

What a payload is due for comes from `pilotage.pilot.guard.held_payload`; here are only the payloads
themselves, which are scripts, and the two ends of the socket pair.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pilotage.pilot.guard import held_payload as holding
from pilotage.pilot.guard.held_payload import GuardedPayload
from pilotage.pilot.guard_link import FROZEN_MAX_S
from pilotage.pilot.ports import Ended, GuardGone, GuardNews, Outfit
from pilotage.proto.messages import Assignment, Usage
from tests.fake_pilot import Script

from .node_disk import NodeFolders
from .processes import HostLoop, Process, Step
from .truth import Run, Truth

STARTING_S = 0.02
CLOSING_S = 0.05  # from SIGKILL to the proof that nothing is left


@dataclass(eq=False)
class Payload:
    """One payload: what it still has to compute, and what the guard knows of it."""

    assignment: Assignment
    script: Script
    folder: Path
    held: GuardedPayload
    left_s: float
    run: Run | None = None  # while it computes
    due: Step | None = None


class NodeGuard:
    """`pilotage.pilot.ports.Guard`; what stands below the orders runs in the guard's process."""

    def __init__(
        self,
        loop: HostLoop,
        process: Process,
        folders: NodeFolders,
        *,
        now: Callable[[], float],
        truth: Truth,
        script: Callable[[Assignment], Script],
        chance: random.Random,
        life: str,
        alive: dict[int, Payload],
    ) -> None:
        self._loop, self._process, self._folders = loop, process, folders
        self._now, self._truth, self._script, self._chance = now, truth, script, chance
        self._life = life
        self._news: asyncio.Queue[GuardNews | None] = asyncio.Queue(maxsize=10_000)
        self._gone = False
        self.payloads = alive  # of the host: those of earlier lives may still be dying
        self.mine: dict[int, Payload] = {}
        process.host.sleeps.append(self._suspended)
        process.host.woken.append(self._woken)
        process.died.append(self.died)

    # -- the pilot's end --------------------------------------------------------------------------

    @property
    def isolation(self) -> str:
        return "simulated"

    @property
    def life(self) -> str:
        return self._life

    def prepare(self, folder: Path) -> None:
        """Nothing can be done ahead."""

    def start(
        self, assignment: Assignment, folder: Path, fence: float, outfit: Outfit | None = None
    ) -> None:
        self._process.soon(self._start, assignment, folder, fence)

    def fence(self, attempt_id: int, fence: float) -> None:
        self._process.soon(self._fence, attempt_id, fence)

    def stop(self, attempt_id: int, grace_s: float) -> None:
        self._process.soon(self._stop, attempt_id, grace_s)

    def ends(self, at: float) -> None:
        """Scripts want no warning."""

    def warn(self) -> None:
        """Scripts want no warning."""

    async def news(self) -> GuardNews:
        news = await self._news.get()
        if news is None:
            raise GuardGone("the guard was killed")
        return news

    def seen_dead(self, attempt_id: int, boot_id: str, namespace: str, life: str) -> bool:
        return boot_id == self._process.host.boot and attempt_id not in self.payloads

    # -- what happens to the processes ------------------------------------------------------------

    def pilot_died(self) -> None:
        """The socket pair is closed: the guard kills everything and ends."""
        self._process.soon(self._kill_everything)

    def _kill_everything(self) -> None:
        self._process.kill()

    def died(self) -> None:
        """The guard is dead, and with it (parent-death signal) its payloads, whoever killed it."""
        if not self._gone:
            self._gone = True
            for payload in list(self.mine.values()):
                self._rest(payload)
                self._forget(payload)
            self._news.put_nowait(None)
            self._process.host.sleeps.remove(self._suspended)
            self._process.host.woken.remove(self._woken)

    def _suspended(self) -> None:
        """The host stands still, and payloads with it."""
        for payload in self.mine.values():
            self._rest(payload)

    def unheld(self) -> None:
        """The guard is stopped, its payloads are not: nothing holds them to their fences."""
        for payload in self.mine.values():
            if payload.run is not None:
                payload.run.unheld = True

    def _woken(self) -> None:
        """The host goes on: payloads at once, the guard within its half second."""
        for payload in list(self.mine.values()):
            if payload.held.frozen_at is None and not payload.held.closing:
                self._compute(payload)
                if payload.run is not None:
                    payload.run.woken = True
            if not payload.held.closing:  # else what waits is the proof that nothing is left
                self._look_in(payload, self._chance.uniform(0.0, holding.LOOK_S))

    # -- the guard's end --------------------------------------------------------------------------

    def _start(self, assignment: Assignment, folder: Path, fence: float) -> None:
        attempt_id, script = assignment.attempt_id, self._script(assignment)
        if attempt_id in self.mine:
            return
        if script.does_not_start:
            self._tell(GuardNews(attempt_id, not_started=script.does_not_start))
            return
        order = {
            "attempt_id": attempt_id,
            "isolation": "session",
            "wall_s": assignment.grant.wall_s,
            "frozen_max_s": FROZEN_MAX_S,
            "fence": fence,
        }
        payload = Payload(
            assignment, script, folder, GuardedPayload(order, 1, self._now()), script.duration_s
        )
        self.payloads[attempt_id] = self.mine[attempt_id] = payload
        self._folders.write(folder / "stdout", script.stdout)
        for name, content in script.files.items():
            self._folders.write(folder / "work" / name, content)
        self._compute(payload)
        self._tell(GuardNews(attempt_id, started=True))
        self._look(payload)

    def _fence(self, attempt_id: int, fence: float) -> None:
        payload = self.mine.get(attempt_id)
        if payload is not None:
            payload.held.fence = fence
            self._look(payload)

    def _stop(self, attempt_id: int, grace_s: float) -> None:
        payload = self.mine.get(attempt_id)
        if payload is None or payload.held.killing:
            return
        held = payload.held
        # As in the shipped guard: no grace after the fence.
        if grace_s <= 0 or held.frozen_at is not None:
            self._kill(payload, "killed")
        else:
            held.stop_at = self._now() + grace_s
            self._look(payload)

    def _look(self, payload: Payload) -> None:
        """Do what is due for a payload, and look again when something may be due."""
        if payload.assignment.attempt_id not in self.mine or self._process.dead:
            return
        held, now = payload.held, self._now()
        self._settle(payload)
        if held.closing:
            return
        if payload.left_s <= 1e-6 and held.frozen_at is None:
            self._exited(payload)
            return
        action, _, why = holding.due(held, now).partition(":")
        if action in ("kill", "end"):  # scripts know no grace at a limit
            self._kill(payload, why)
            return
        if action == "freeze":
            held.look_at = now + FROZEN_MAX_S
            if held.frozen_at is None:
                held.frozen_at = now
                self._rest(payload)
                self._tell(GuardNews(held.attempt_id, frozen=True))
        elif action == "thaw":
            held.frozen_s, held.frozen_at = held.frozen_total_s(now), None
            self._compute(payload)
            self._tell(GuardNews(held.attempt_id, thawed=True))
        elif action == "tell":
            held.told = True
            if not payload.script.ignores_term:
                self._kill(payload, "killed")
                return
        self._look_in(payload, self._next_in_s(payload))

    def _next_in_s(self, payload: Payload) -> float:
        held, now = payload.held, self._now()
        if held.stop_at is not None and not held.told:
            return holding.CLOSING_S
        if held.frozen_at is not None:
            # Of two readings the difference may be less than the bound by a rounding.
            return max(1e-3, held.frozen_at + held.frozen_max_s - now)
        times = [held.fence, held.wall_over_at(now)]
        if held.stop_at is not None:
            times.append(held.stop_at)
        # The real one looks each half second: it is late by so much at most.
        late_s = self._chance.uniform(0.0, holding.LOOK_S)
        return min(max(0.0, min(times) - now) + late_s, payload.left_s * self._process.host.rate)

    def _look_in(self, payload: Payload, seconds: float) -> None:
        if payload.due is not None:
            payload.due.cancel()
        loop, host = self._loop, self._process.host
        when = loop.now + max(0.0, seconds) / host.rate
        payload.due = loop.at_host(when, self._process, self._look, payload)

    def _compute(self, payload: Payload) -> None:
        if payload.run is None and self._process.host.suspended_at is None:
            assignment = payload.assignment
            payload.run = self._truth.begin(
                assignment.job, assignment.epoch, self._process.host.name, self._loop.now
            )
            payload.run.unheld = self._process.stopped

    def _settle(self, payload: Payload) -> None:
        """Account for what has been computed until now."""
        run = payload.run
        if run is not None:
            self._rest(payload)
            if payload.left_s > 1e-6:
                self._compute(payload)
                if payload.run is not None:
                    payload.run.woken = run.woken

    def _rest(self, payload: Payload) -> None:
        run, payload.run = payload.run, None
        if run is not None:
            # Frozen at its last step, whenever somebody looks.
            done_at = min(self._loop.now, run.since + payload.left_s)
            payload.left_s -= done_at - run.since
            self._truth.end(run, done_at)

    def _exited(self, payload: Payload) -> None:
        payload.held.status, payload.held.ended_at = 0, self._now()
        self._close(payload)

    def _kill(self, payload: Payload, why: str) -> None:
        held = payload.held
        if held.closing:
            return
        self._rest(payload)
        held.why, held.killing = why, True
        if payload.due is not None:
            payload.due.cancel()
        loop = self._loop
        payload.due = loop.at_host(loop.now + CLOSING_S, self._process, self._reaped, payload)

    def _reaped(self, payload: Payload) -> None:
        payload.held.ended_at = self._now()
        self._close(payload)

    def _close(self, payload: Payload) -> None:
        held = payload.held
        if held.attempt_id not in self.mine:
            return
        self._forget(payload)
        frozen_s = held.frozen_total_s(held.ended_at)
        wall_s = max(0.0, held.ended_at - held.started_at - frozen_s)
        usage = Usage(wall_s=wall_s, cpu_s=wall_s, frozen_s=frozen_s)
        self._tell(
            GuardNews(
                held.attempt_id,
                ended=Ended(
                    attempt_id=held.attempt_id,
                    exit_code=None if held.why else payload.script.exit_code,
                    signal=9 if held.why else None,
                    frozen_s=frozen_s,
                    usage=usage,
                    why=held.why,
                ),
            )
        )

    def _forget(self, payload: Payload) -> None:
        if payload.due is not None:
            payload.due.cancel()
        self.mine.pop(payload.assignment.attempt_id, None)
        self.payloads.pop(payload.assignment.attempt_id, None)

    def _tell(self, news: GuardNews) -> None:
        if not self._gone:
            self._news.put_nowait(news)
