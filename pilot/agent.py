"""The pilot at work: built from ports only, it carries out what the brain decides.

What happens (a reply, news of the guard, a message of the bus, time) is told to the brain, and the
commands that come back are carried out in their order, at once and in the same step: nothing
between a wake-up and the next request, or an assignment and its start, waits for a timer.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional, Union

from pilotage.proto import topics
from pilotage.proto.messages import Assignment, Down, LogChunk, Node, Offer, Registered
from pilotage.proto.wire import BadMessage, decode, encode

from . import commands as c
from .brain import EXIT_DONE, Brain, Reply
from .contain import WorkFailed, contained
from .entries import KeptAssignment, KeptEnded
from .events import Log
from .files import Files, NotBrought, Taken, Useless
from .introduction import Introduction
from .line import Line, Refused
from .pace import WALL_UNLIMITED_S, Bounds, Session
from .ports import (
    Bus,
    BusFactory,
    Clock,
    Guard,
    GuardGone,
    GuardNews,
    Http,
    Journal,
    NodeProbe,
    Randomness,
    Workspace,
)
from .tasks import Tasks, time_limit
from .watched import LiveOutput

EXIT_REFUSED, EXIT_GUARD_GONE, EXIT_UNANSWERED = 12, 13, 15
CLOCK_LOOK_S = 5.0  # the loop's timers stand still while the node is suspended, ours must not
SCRATCH_LOOK_S = 30.0
RENEW_AT = 0.5  # of a token's life
UNANSWERED_S = 900.0  # then a pilot that nobody has answered yet gives up
SEEN_DEAD_LOOKS = 10  # one a second: the payloads of an earlier life may still be on their way out


@dataclass(frozen=True)
class Ports:
    """The world, as one argument."""

    clock: Clock
    random: Randomness
    http: Http
    bus: BusFactory
    guard: Guard
    journal: Journal
    workspace: Workspace
    probe: NodeProbe
    log: Log


# Whatever stands in the journal is durable before one of these: assignments before their start,
# ends before they are sent.
_AFTER_JOURNAL = (c.StartPayload, c.Stage, c.SendTurn)


class _Over(Exception):
    """The brain has said that this is the end."""


class Agent:
    """One pilot process. `run` returns its exit code."""

    def __init__(
        self,
        ports: Ports,
        *,
        secret: str,
        central: str = "",
        idle_s: float = 0.0,
        stop_margin_s: float = 60.0,
        unanswered_s: float = UNANSWERED_S,
    ) -> None:
        self._ports, self._secret, self._central = ports, secret, central
        self._idle_s, self._stop_margin_s = idle_s, stop_margin_s
        self._unanswered_s = unanswered_s
        self._clock, self._log, self._guard = ports.clock, ports.log, ports.guard
        self._line = Line(ports.http, ports.clock, ports.random, ports.log)
        self._introduction = Introduction(self._line, ports.journal, ports.random)
        self._files = Files(ports.http, ports.workspace, ports.clock, ports.random, ports.log)
        self._boot_id, self._pid_namespace = ports.probe.boot_id(), ports.probe.pid_namespace()
        self._brain: Optional[Brain] = None
        self._bus: Optional[Bus] = None
        self._on_bus: Optional[asyncio.Task[Any]] = None
        self._me: Optional[Registered] = None
        self._attempts: dict[int, Assignment] = {}
        self._works: dict[int, asyncio.Task[Any]] = {}  # staging, collecting or uploading
        self._live_output = LiveOutput(self._files, ports.workspace, ports.clock, self._send_chunk)
        self._over: deque[int] = deque()  # attempts whose folders are still there
        self._exit: Optional[c.Exit] = None
        self._guard_gone = False
        self._signals = 0
        self._timer_at = 0.0
        self._since = 0.0  # when this life began

    # -- from outside ---------------------------------------------------------------------------

    def drain(self, why: str) -> None:
        """End when what is held has ended. Said a second time: do not wait for it."""
        self._signals += 1
        brain = self._brain
        if brain is None:
            # `run` looks at the count, also if the answer comes at this very moment.
            self._introduction.call_off()
            return
        now = self._clock.now()
        self._do(brain.drain(why, now) if self._signals == 1 else brain.hurry(why, now))

    async def run(self) -> int:
        """Live: register or come back, work until the end, return the exit code."""
        # Made here, because in Python 3.9 they belong to the loop that is current.
        self._requests: asyncio.Queue[Union[c.SendTurn, c.SendBeat]] = asyncio.Queue(maxsize=1)
        self._nudge, self._ended = asyncio.Event(), asyncio.Event()
        self._litter = asyncio.Event()
        self._since = self._clock.now()
        try:
            within_s = self._patience_s()
            self._me = await self._introduction.run(self._secret, self._node(), within_s)
        except Refused as why:
            return self._end(EXIT_REFUSED, str(why))
        if self._me is None:
            return self._end(*self._unknown())
        facts = ("pilot", "community", "site", "element", "session", "gen")
        self._log("registered", {name: getattr(self._me, name) for name in facts})
        with contextlib.suppress(_Over):
            await self._live(self._me)
        for attempt_id in self._over:
            await self._remove(attempt_id)
        assert self._exit is not None
        code = self._exit.code
        if code == EXIT_DONE and self._guard_gone:
            code = EXIT_GUARD_GONE
        return self._end(code, self._exit.why)

    @property
    def left_nothing(self) -> bool:
        """Whether all that a next life could say has been said."""
        journal = self._ports.journal
        return self._me is not None and not journal.assignments() and not journal.ended()

    def _end(self, code: int, why: str) -> int:
        self._log("pilot_ended", {"code": code, "why": why})
        return code

    # -- beginning ------------------------------------------------------------------------------

    def _patience_s(self) -> float:
        """Return for how long the first word is said."""
        wall_left_s = min(WALL_UNLIMITED_S, self._ports.probe.wall_left_s())
        return min([wall_left_s, *(one for one in (self._idle_s, self._unanswered_s) if one)])

    def _unknown(self) -> tuple[int, str]:
        """Return how a pilot ends that nobody knows: it holds nothing."""
        if self._signals:
            return EXIT_DONE, "told to end before the central knew us"
        waited_s = self._clock.now() - self._since
        return EXIT_UNANSWERED, self._introduction.failure(self._central, waited_s)

    def _node(self) -> Node:
        return replace(self._ports.probe.node(), isolation=self._guard.isolation)

    def _wake_up(self, me: Registered) -> Brain:
        """Make the brain: what the node has, when it must end, what an earlier life left."""
        probe, now = self._ports.probe, self._clock.now()
        capacity = Offer(
            cores=probe.cores(),
            cores_free=probe.cores(),
            memory_mb=probe.memory_mb(),
            memory_free_mb=probe.memory_mb(),
            wall_left_s=probe.wall_left_s(),
            scratch_free_mb=probe.scratch_free_mb(),
            tags=probe.tags(),
            node=self._node(),
        )
        wall_left_s = probe.wall_left_s()
        margin_s = min(self._stop_margin_s, wall_left_s / 10)
        brain = Brain(
            Session(me.gen, me.session, me.beat_s),
            capacity,
            Bounds(
                stop_at=now + wall_left_s - margin_s,
                end_at=now + wall_left_s,
                idle_s=self._idle_s,
                idle_since=self._since,
            ),
            self._ports.random.uniform,
            isolation=self._guard.isolation,
            now=now,
        )
        for entry in self._ports.journal.ended().values():
            kept = decode(KeptEnded, entry)
            brain.restored(kept.report, kept.at if kept.boot_id == self._boot_id else now)
        return brain

    async def _live(self, me: Registered) -> None:
        async with Tasks() as tasks:
            self._tasks = tasks
            self._brain = self._wake_up(me)
            tasks.start(self._talk(), name="talk")
            tasks.start(self._hear_guard(), name="guard")
            tasks.start(self._renew_tokens(), name="tokens")
            tasks.start(self._look_at_scratch(), name="scratch")
            tasks.start(self._bury_earlier_life(), name="earlier life")
            self._join_bus(me, tasks)
            self._do(self._brain.tick(self._clock.now()))
            for _ in range(self._signals):
                self._do(self._brain.drain("asked to", self._clock.now()))
            tasks.start(self._keep_time(), name="time")
            tasks.start(self._tidy_up(), name="tidy")
            await self._ended.wait()
            raise _Over

    def _join_bus(self, me: Registered, tasks: Tasks) -> None:
        will = encode({"session": me.session})
        if me.broker is not None:
            self._bus = self._ports.bus(me.broker, me.ca_pem, me.community, me.pilot, will)
        if self._bus is None:
            self._log("no_bus", {"why": "no login" if me.broker is None else "no client here"})
            return
        running = self._bus.run(self._hear_bus, self._bus_changed)
        self._on_bus = tasks.start(running, name="bus")

    # -- what happens ---------------------------------------------------------------------------

    async def _talk(self) -> None:
        """One request at a time, each reply back to the brain."""
        while True:
            request = await self._requests.get()
            reply: Reply
            if isinstance(request, c.SendTurn):
                reply = await self._line.turn(request.turn, request.timeout_s)
            else:
                reply = await self._line.beat(request.beat, request.timeout_s)
            self._do(self._mind.replied(reply, self._clock.now()))

    async def _hear_guard(self) -> None:
        while True:
            try:
                news = await self._guard.news()
            except GuardGone as why:
                self._log("guard_gone", {"why": str(why)})
                self._guard_gone = True
                self._do(self._mind.guard_gone(self._seen_dead(), self._clock.now()))
                return
            self._heard(news)

    def _heard(self, news: GuardNews) -> None:
        brain, now, attempt_id = self._mind, self._clock.now(), news.attempt_id
        name = self._name(attempt_id)
        if news.started:
            self._log("payload_started", name)
            self._do(brain.started(attempt_id, now))
        elif news.not_started:
            self._log("payload_not_started", {**name, "why": news.not_started})
            self._do(brain.not_started(attempt_id, news.not_started, now))
        elif news.ended is not None:
            facts = {k: getattr(news.ended, k) for k in ("exit_code", "signal", "why")}
            self._log("payload_ended", {**name, **facts})
            self._do(brain.gone(news.ended, now))
        elif news.frozen:
            self._log("payload_frozen", name)
        elif news.thawed:
            self._log("payload_thawed", name)

    async def _hear_bus(self, payload: bytes) -> None:
        try:
            message = decode(Down, payload)
        except BadMessage as why:
            self._log("bus_refused", {"why": str(why)})
            return
        self._do(self._mind.down(message, self._clock.now()))

    def _bus_changed(self, up: bool) -> None:
        self._do(self._mind.bus_changed(up, self._clock.now()))

    async def _keep_time(self) -> None:
        """Call `tick` when the brain said so, or earlier when something has moved it."""
        while True:
            self._nudge.clear()
            self._timer_at = self._mind.due()
            wait_s = min(CLOCK_LOOK_S, self._timer_at - self._clock.now())
            if wait_s > 0:
                with contextlib.suppress(asyncio.TimeoutError):
                    async with time_limit(wait_s):
                        await self._nudge.wait()
            self._ports.journal.sync()  # ends that wait for the network survive a power cut too
            if self._clock.now() >= self._mind.due():
                self._do(self._mind.tick(self._clock.now()))

    async def _renew_tokens(self) -> None:
        while True:
            await self._clock.sleep(max(1.0, RENEW_AT * self._line.expires_in_s))
            try:
                await self._line.renew()
            except Refused as why:
                # Nothing new will be given to us; what is held runs into its fences.
                self._do(self._mind.drain(f"no new token: {why}", self._clock.now()))
                return
            self._log("token_renewed", {"expires_in_s": self._line.expires_in_s})

    async def _look_at_scratch(self) -> None:
        while True:
            await self._clock.sleep(SCRATCH_LOOK_S)
            free_mb = self._ports.probe.scratch_free_mb()
            self._do(self._mind.scratch_changed(free_mb, self._clock.now()))

    async def _bury_earlier_life(self) -> None:
        """Say `lost` for what an earlier life held and is seen dead; the rest ends by its lease."""
        journal = self._ports.journal
        left = {k: v for k, v in journal.assignments().items() if k not in journal.ended()}
        for look in range(SEEN_DEAD_LOOKS):
            if look:
                await self._clock.sleep(1)
            for attempt_id, entry in list(left.items()):
                kept = decode(KeptAssignment, entry)
                if self._guard.seen_dead(attempt_id, kept.boot_id, kept.pid_namespace):
                    del left[attempt_id]
                    now = self._clock.now()
                    self._do(self._mind.restored_dead(kept.assignment, now))
            if not left:
                return
        for attempt_id in left:
            self._forget(attempt_id)

    async def _tidy_up(self) -> None:
        """Remove the folders of attempts that are over, off the path of what is urgent."""
        while True:
            await self._litter.wait()
            self._litter.clear()
            while self._over:
                await self._remove(self._over[0])
                self._over.popleft()

    async def _remove(self, attempt_id: int) -> None:
        with contextlib.suppress(WorkFailed):  # it is in the log, and what is left is only litter
            await contained(self._files.remove(attempt_id), self._log, attempt_id, "removing")

    # -- commands -------------------------------------------------------------------------------

    @property
    def _mind(self) -> Brain:
        assert self._brain is not None, "there is no brain before the introduction"
        return self._brain

    def _do(self, commands: list[c.Command]) -> None:
        """Carry out what the brain wants, in its order."""
        for command in commands:
            if isinstance(command, _AFTER_JOURNAL):
                self._ports.journal.sync()
            self._carry_out(command)
        if self._exit is None and self._mind.due() < self._timer_at:
            self._nudge.set()

    def _carry_out(self, command: c.Command) -> None:
        if isinstance(command, (c.SendTurn, c.SendBeat)):
            if isinstance(command, c.SendBeat) and command.beat.goodbye and self._on_bus:
                self._on_bus.cancel()  # once it is heard, the central takes our login away
            self._requests.put_nowait(command)
        elif isinstance(command, c.PublishBeat):
            self._publish(topics.Kind.BEAT, encode(command.beat))
        elif isinstance(command, c.StartPayload):
            self._start(command)
        elif isinstance(command, c.KeepAssignment):
            self._keep_assignment(command.assignment)
        elif isinstance(command, c.KeepEnded):
            self._keep_ended(command)
        elif isinstance(command, c.MoveFence):
            self._guard.fence(command.attempt_id, command.fence)
        elif isinstance(command, c.StopPayload):
            self._guard.stop(command.attempt_id, command.grace_s)
        elif isinstance(command, c.Collect):
            self._collect(command)
        elif isinstance(command, c.Stage):
            self._work(command.assignment.attempt_id, self._stage(command.assignment))
        elif isinstance(command, c.UploadAgain):
            self._work(command.attempt_id, self._upload_again(command))
        elif isinstance(command, c.Abandon):
            self._abandon(command.attempt_id)
        elif isinstance(command, c.Forget):
            self._forget(command.attempt_id)
        elif isinstance(command, c.Follow):
            watched = (self._attempts.get(one) for one in sorted(command.attempt_ids))
            self._live_output.watch(tuple(one for one in watched if one is not None), self._tasks)
        elif isinstance(command, c.KillAll):
            for attempt_id in self._attempts:
                self._guard.stop(attempt_id, 0.0)
        elif isinstance(command, c.Exit):
            self._exit = command
            self._ended.set()
        else:
            self._log(command.event, command.facts)

    def _publish(self, kind: topics.Kind, payload: bytes) -> None:
        assert self._me is not None
        if self._bus is not None:
            self._bus.publish(topics.up(self._me.community, self._me.pilot, kind), payload)

    def _keep_assignment(self, assignment: Assignment) -> None:
        self._attempts[assignment.attempt_id] = assignment
        kept = KeptAssignment(self._boot_id, self._pid_namespace, assignment)
        self._ports.journal.keep_assignment(assignment.attempt_id, encode(kept))
        self._log("assigned", {"job": assignment.job, "epoch": assignment.epoch})

    def _keep_ended(self, command: c.KeepEnded) -> None:
        report = command.report
        kept = KeptEnded(self._boot_id, command.at, report)
        self._ports.journal.keep_ended(report.attempt_id, encode(kept))
        how = report.how.value if report.how is not None else ""
        self._log("ended", {"job": report.job, "epoch": report.epoch, "how": how})

    def _start(self, command: c.StartPayload) -> None:
        assignment = command.assignment
        try:
            folder = self._files.make(assignment.attempt_id)
            self._guard.start(assignment, folder, command.fence)
        except OSError as why:  # a disk that another payload has filled
            said = f"its folder cannot be made: {why}"
            self._do(self._mind.not_started(assignment.attempt_id, said, self._clock.now()))

    def _forget(self, attempt_id: int) -> None:
        self._abandon(attempt_id)
        self._ports.journal.forget(attempt_id)
        self._over.append(attempt_id)
        self._litter.set()
        self._attempts.pop(attempt_id, None)

    # -- files ----------------------------------------------------------------------------------

    def _work(self, attempt_id: int, work: Coroutine[Any, Any, None]) -> None:
        self._works[attempt_id] = self._tasks.start(work, name=f"attempt {attempt_id}")

    def _abandon(self, attempt_id: int) -> None:
        task = self._works.pop(attempt_id, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _stage(self, assignment: Assignment) -> None:
        attempt_id = assignment.attempt_id
        try:
            bringing = self._files.bring(assignment)
            await contained(bringing, self._log, attempt_id, "staging", known=(NotBrought,))
        except (NotBrought, WorkFailed) as why:
            now, useless = self._clock.now(), isinstance(why, Useless)
            self._do(self._mind.staging_failed(attempt_id, str(why), now, useless=useless))
            return
        self._do(self._mind.staged(attempt_id, self._clock.now()))

    def _collect(self, command: c.Collect) -> None:
        assignment, now = command.assignment, self._clock.now()
        watched = self._live_output.watches(assignment.attempt_id)
        if not watched and self._files.left_nothing(assignment, outputs=command.outputs):
            self._do(self._mind.collected(assignment.attempt_id, (), now))
            return
        self._work(assignment.attempt_id, self._take(command))
        self._do(self._mind.tick(now))

    async def _take(self, command: c.Collect) -> None:
        attempt_id = command.assignment.attempt_id
        with contextlib.suppress(WorkFailed):  # lost pieces show as a gap
            last = self._live_output.last(attempt_id)
            await contained(last, self._log, attempt_id, "live output")
        try:
            taking = self._files.take(command.assignment, outputs=command.outputs)
            taken = await contained(taking, self._log, attempt_id, "collecting")
        except WorkFailed as why:
            taken = Taken(failure=f"outputs cannot be kept: {why}")
        now = self._clock.now()
        self._do(
            self._mind.collected(
                attempt_id, taken.outputs, now, absent=taken.absent, failure=taken.failure
            )
        )

    async def _upload_again(self, command: c.UploadAgain) -> None:
        assignment = self._attempts.get(command.attempt_id)
        token = assignment.token if assignment is not None else self._line.token
        try:
            again = self._files.again(command.attempt_id, token, command.missing)
            lost = await contained(again, self._log, command.attempt_id, "uploading again")
        except WorkFailed:
            lost = frozenset(command.missing)
        self._do(self._mind.uploaded(command.attempt_id, lost, self._clock.now()))

    async def _send_chunk(self, assignment: Assignment, chunk: LogChunk) -> None:
        if self._bus is not None and self._bus.up:
            self._publish(topics.Kind.LOG, encode(chunk))
        else:
            await self._line.log_chunk(chunk, assignment.token)

    # -- names ----------------------------------------------------------------------------------

    def _name(self, attempt_id: int) -> Mapping[str, object]:
        assignment = self._attempts.get(attempt_id)
        if assignment is None:
            return {"attempt_id": attempt_id}
        return {"job": assignment.job, "epoch": assignment.epoch}

    def _seen_dead(self) -> frozenset[int]:
        return frozenset(
            attempt_id
            for attempt_id in self._attempts
            if self._guard.seen_dead(attempt_id, self._boot_id, self._pid_namespace)
        )
