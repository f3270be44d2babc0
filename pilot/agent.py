"""The shell of the pilot: it uses ports only, and carries out the decisions of the brain.

The agent passes each event (a reply, news from the guard, a bus message, time) to the brain. It
carries out the returned commands in order, at once and in the same step. Thus no timer delays the
next request after a wake-up, or the start after an assignment.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional, Union

from pilotage.proto import topics
from pilotage.proto.declarations import margin_s
from pilotage.proto.messages import Assignment, Down, LogChunk, Node, Registered
from pilotage.proto.tasks import Tasks, time_limit
from pilotage.proto.wire import BadMessage, decode, encode

from .data.credentials import StorageCredentials
from .data.files import OUTPUT_PATIENCE_S, DataFiles, with_data
from .data.storages import Storage
from .errands import Errands
from .events import WriteEvent
from .journal_entries import KeptAssignment, KeptEnded
from .mind import commands as c
from .mind.brain import EXIT_DONE, EXIT_OLD_SESSION, Brain, Reply
from .mind.devices import Devices
from .mind.pace import WALL_UNLIMITED_S, PilotDeadlines, PilotSession
from .node.capacity import NOTHING, capacity
from .node.declarations import ANYONE, Accepts
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
    Outfitter,
    Randomness,
    UntoldLog,
    Workspace,
)
from .talk.conversation import CentralChannel, RequestRefused, may_pass
from .talk.logship import LogShip
from .talk.payload_tokens import TokenKeeper
from .talk.registration import PilotRegistration
from .talk.renewal import Renewal
from .talk.requests import Requests
from .talk.transfer import BlobTransfer
from .talk.watched_output import LiveOutput

EXIT_REFUSED, EXIT_GUARD_GONE, EXIT_UNANSWERED = 12, 13, 15
CLOCK_LOOK_S = 5.0  # the loop's timers stop while the node is suspended, but leases do not
SCRATCH_LOOK_S = 30.0
TIME_LOOK_S = 900.0  # limits of batch systems rarely change, and thousands of pilots ask
RENEW_AT = 0.5  # of a token's lifetime
UNANSWERED_S = 900.0  # a pilot ends if the central has not answered for this time
SEEN_DEAD_LOOKS = 10  # one each second: payloads of an earlier process may still be ending


@dataclass(frozen=True)
class Ports:
    """All drivers, as one argument."""

    clock: Clock
    random: Randomness
    http: Http
    bus: BusFactory
    guard: Guard
    journal: Journal
    workspace: Workspace
    probe: NodeProbe
    log: WriteEvent
    outfitter: Optional[Outfitter] = None  # None: payloads get only the node's own files
    untold: Optional[UntoldLog] = None  # None: the pilot's log is not sent to the central
    storages: Optional[Mapping[str, Storage]] = None  # by type; None: data files are not supported


# Before one of these commands, journal entries must be durable: assignments before their start,
# ends before they are sent.
_AFTER_JOURNAL = (c.StartPayload, c.Stage, c.SendTurn)


class _Over(Exception):
    """The brain has decided to end the pilot."""


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
        time_look_s: float = TIME_LOOK_S,
        upload_s: float = OUTPUT_PATIENCE_S,
        accepts: Accepts = ANYONE,
        amounts: Mapping[str, int] = NOTHING,
    ) -> None:
        self._ports, self._secret, self._central = ports, secret, central
        self._idle_s, self._stop_margin_s = idle_s, stop_margin_s
        self._unanswered_s, self._accepts, self._amounts = unanswered_s, accepts, amounts
        self._time_look_s, self._upload_s = time_look_s, upload_s
        self._clock, self._log, self._guard = ports.clock, ports.log, ports.guard
        self._to_central = Requests(ports.http, ports.clock, ports.log)
        self._renewal = Renewal(ports.journal, ports.random)
        self._line = CentralChannel(
            self._to_central, ports.clock, ports.random, ports.log, self._renewal
        )
        self._introduction = PilotRegistration(
            self._line, self._renewal, ports.journal, ports.random
        )
        self._files = BlobTransfer(
            self._to_central,
            ports.workspace,
            ports.clock,
            ports.random,
            ports.log,
            self._undelivered,
        )
        self._boot_id, self._pid_namespace = ports.probe.boot_id(), ports.probe.pid_namespace()
        self._keeper: Optional[TokenKeeper] = None
        self._storage_credentials: Optional[StorageCredentials] = None
        self._ship: Optional[LogShip] = None
        if ports.untold is not None:
            self._ship = LogShip(ports.untold, self._line, self._clock, self._log, self._secrets)
        self._brain: Optional[Brain] = None
        self._bus: Optional[Bus] = None
        self._on_bus: Optional[asyncio.Task[Any]] = None
        self._me: Optional[Registered] = None
        self._attempts: dict[int, Assignment] = {}
        self._devices = Devices(ports.probe.gpus())
        self._live_output = LiveOutput(self._files, ports.workspace, ports.clock, self._send_chunk)
        self._exit: Optional[c.Exit] = None
        self._guard_gone = False
        self._signals = 0
        self._timer_at = 0.0
        self._since = 0.0  # when this process began
        self._margin_s = stop_margin_s

    # -- calls from outside ----------------------------------------------------------------------

    def drain(self, why: str) -> None:
        """End after the running attempts. A second call ends the pilot without waiting for them."""
        self._signals += 1
        brain = self._brain
        if brain is None:
            # `run` checks the count, so an answer at this moment does no harm.
            self._introduction.call_off()
            return
        now = self._clock.now()
        if self._signals == 1:
            self._guard.warn()  # SIGKILL may soon follow the first signal
        self._do(brain.drain(why, now) if self._signals == 1 else brain.hurry(why, now))

    async def run(self) -> int:
        """Run the pilot: register or return, work until the end, and return the exit code."""
        # Created here, because in Python 3.9 they belong to the loop that is current.
        self._requests: asyncio.Queue[Union[c.SendTurn, c.SendBeat]] = asyncio.Queue(maxsize=1)
        self._nudge, self._ended, self._spoken = (asyncio.Event() for _ in range(3))
        self._since = self._clock.now()
        try:
            within_s = self._patience_s()
            self._me = await self._introduction.run(self._secret, self._node(), within_s)
        except RequestRefused as why:
            return self._end(EXIT_REFUSED, str(why))
        if self._me is None:
            return self._end(*self._unknown())
        facts = ("pilot", "community", "site", "element", "session", "gen")
        self._log("registered", {name: getattr(self._me, name) for name in facts})
        try:
            with contextlib.suppress(_Over):
                await self._live(self._me)
        finally:
            if self._keeper is not None:
                self._keeper.drop_all()
        await self._errands.remove_all()
        assert self._exit is not None
        code = self._exit.code
        if code == EXIT_OLD_SESSION:
            await self._line.tell_of_double()
        if code == EXIT_DONE and self._guard_gone:
            code = EXIT_GUARD_GONE
        self._end(code, self._exit.why)
        if self._ship is not None:
            await self._ship.last(self._me.gen, self._me.session)
        return code

    @property
    def left_nothing(self) -> bool:
        """Whether everything was reported that a later process could report."""
        journal = self._ports.journal
        return self._me is not None and not journal.assignments() and not journal.ended()

    def _end(self, code: int, why: str) -> int:
        self._log("pilot_ended", {"code": code, "why": why})
        return code

    # -- start ------------------------------------------------------------------------------------

    def _patience_s(self) -> float:
        """Return how long to try to register."""
        wall_left_s = min(WALL_UNLIMITED_S, self._ports.probe.wall_left_s())
        return min([wall_left_s, *(one for one in (self._idle_s, self._unanswered_s) if one)])

    def _unknown(self) -> tuple[int, str]:
        """Return the end of a pilot that never registered and holds nothing."""
        if self._signals:
            return EXIT_DONE, "ordered to end before the registration"
        waited_s = self._clock.now() - self._since
        return EXIT_UNANSWERED, self._introduction.failure(self._central, waited_s)

    def _node(self) -> Node:
        return replace(self._ports.probe.node(), isolation=self._guard.isolation)

    def _wake_up(self, me: Registered) -> Brain:
        """Create the brain from the node's capacity, the pilot's deadlines and earlier attempts."""
        probe, now = self._ports.probe, self._clock.now()
        wall_left_s = probe.wall_left_s()
        self._margin_s = margin_s(self._stop_margin_s, wall_left_s)
        brain = Brain(
            PilotSession(me.gen, me.session, me.beat_s),
            capacity(probe, self._node(), self._accepts, self._amounts),
            self._bounds(wall_left_s, now),
            self._ports.random.uniform,
            isolation=self._guard.isolation,
            now=now,
        )
        for entry in self._ports.journal.ended().values():
            kept = decode(KeptEnded, entry)
            brain.restored(kept.report, kept.at if kept.boot_id == self._boot_id else now)
        return brain

    def _bounds(self, wall_left_s: float, now: float) -> PilotDeadlines:
        self._guard.ends(now + wall_left_s - self._margin_s)
        return PilotDeadlines(
            stop_at=now + wall_left_s - self._margin_s,
            end_at=now + wall_left_s,
            idle_s=self._idle_s,
            idle_since=self._since,
        )

    async def _live(self, me: Registered) -> None:
        async with Tasks() as tasks:
            self._tasks = tasks
            self._errands = Errands(
                self._files,
                self._live_output,
                self._log,
                tasks,
                self._tell,
                self._ports.outfitter,
                self._data_files(),
                self._token_keeper(tasks),
            )
            self._brain = self._wake_up(me)
            tasks.start(self._talk(), name="talk")
            tasks.start(self._hear_guard(), name="guard")
            tasks.start(self._renew_tokens(), name="tokens")
            tasks.start(self._look_at_scratch(), name="scratch")
            tasks.start(self._look_at_time_left(), name="time left")
            tasks.start(self._bury_earlier_life(), name="earlier life")
            self._join_bus(me, tasks)
            self._do(self._brain.tick(self._clock.now()))
            for _ in range(self._signals):
                self._do(self._brain.drain("asked to", self._clock.now()))
            tasks.start(self._keep_time(), name="time")
            tasks.start(self._errands.tidy_up(), name="tidy")
            if self._ship is not None:
                tasks.start(self._ship.run(me.gen, me.session), name="log")
            await self._ended.wait()
            raise _Over

    def _data_files(self) -> Optional[DataFiles]:
        ports = self._ports
        if ports.storages is None:
            return None
        self._storage_credentials = StorageCredentials(
            self._line.storage_token, ports.clock, may_pass
        )
        return DataFiles(
            ports.storages,
            ports.clock,
            ports.random,
            ports.log,
            upload_s=self._upload_s,
            failed=self._undelivered,
            credentials=self._storage_credentials,
        )

    def _token_keeper(self, tasks: Tasks) -> TokenKeeper:
        ports = self._ports
        self._keeper = TokenKeeper(
            self._line, ports.workspace, ports.clock, ports.random, ports.log, tasks, self._noted
        )
        return self._keeper

    def _join_bus(self, me: Registered, tasks: Tasks) -> None:
        will = encode({"session": me.session})
        if me.broker is not None:
            self._bus = self._ports.bus(me.broker, me.ca_pem, me.community, me.pilot, will)
        if self._bus is None:
            self._log(
                "no_bus", {"why": "no login" if me.broker is None else "no bus client is installed"}
            )
            return
        self._on_bus = tasks.start(self._on_the_bus(self._bus), name="bus")

    async def _on_the_bus(self, joined: Bus) -> None:
        # The import takes a tenth of a second; the first ask must not wait for it.
        await self._spoken.wait()
        await joined.run(self._hear_bus, self._bus_changed)

    # -- events -----------------------------------------------------------------------------------

    async def _talk(self) -> None:
        """Send one request at a time, and pass each reply to the brain."""
        while True:
            request = await self._requests.get()
            reply: Reply
            if isinstance(request, c.SendTurn):
                reply = await self._line.turn(request.turn, request.timeout_s)
            else:
                reply = await self._line.beat(request.beat, request.timeout_s)
            self._do(self._mind.replied(reply, self._clock.now()))
            self._spoken.set()
            self._make_ready()

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
        if news.not_started or news.ended is not None:
            # Before the brain may start another payload with them.
            self._devices.take_back(attempt_id)
            if self._keeper is not None:
                self._keeper.drop(attempt_id)
        if news.started:
            self._log("payload_started", name)
            self._do(brain.started(attempt_id, now))
        elif news.not_started:
            self._log("payload_not_started", {**name, "why": news.not_started})
            self._do(brain.not_started(attempt_id, news.not_started, now))
        elif news.ended is not None:
            facts = {k: getattr(news.ended, k) for k in ("exit_code", "signal", "why", "detail")}
            self._log("payload_ended", {**name, **facts})
            self._do(brain.gone(news.ended, now))
        elif news.frozen:
            self._log("payload_frozen", name)
        elif news.thawed:
            self._log("payload_thawed", name)
        elif news.warned:
            self._log("payload_warned", {**name, "with": news.warned})
            self._do(brain.warned(attempt_id, news.warned, now))
        elif news.stuck:
            self._log("payload_stuck", {**name, "why": news.stuck})

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
        """Call `tick` at the time that the brain has set, or earlier if an event has changed it."""
        while True:
            self._nudge.clear()
            self._timer_at = self._mind.due()
            wait_s = min(CLOCK_LOOK_S, self._timer_at - self._clock.now())
            if wait_s > 0:
                with contextlib.suppress(asyncio.TimeoutError):
                    async with time_limit(wait_s):
                        await self._nudge.wait()
            # So that ends that wait for the network survive a power cut too.
            self._ports.journal.sync()
            if self._clock.now() >= self._mind.due():
                self._do(self._mind.tick(self._clock.now()))

    async def _renew_tokens(self) -> None:
        while True:
            await self._clock.sleep(max(1.0, RENEW_AT * self._line.expires_in_s))
            try:
                await self._line.renew()
            except RequestRefused as why:
                self._do(self._mind.not_renewed(why.refusal, self._clock.now()))
                return
            self._log("token_renewed", {"expires_in_s": self._line.expires_in_s})

    async def _look_at_scratch(self) -> None:
        while True:
            await self._clock.sleep(SCRATCH_LOOK_S)
            free_mb = self._ports.probe.scratch_free_mb()
            self._do(self._mind.scratch_changed(free_mb, self._clock.now()))

    async def _look_at_time_left(self) -> None:
        while self._time_look_s:
            await self._clock.sleep(self._time_look_s)
            wall_left_s = await self._ports.probe.time_left_again()
            if wall_left_s is not None:
                self._log("time_left", {"wall_left_s": round(wall_left_s)})
                now = self._clock.now()
                self._do(self._mind.bounds_changed(self._bounds(wall_left_s, now), now))

    async def _bury_earlier_life(self) -> None:
        """Report `lost` for attempts of an earlier process that are known to be dead."""
        journal = self._ports.journal
        left = {k: v for k, v in journal.assignments().items() if k not in journal.ended()}
        for look in range(SEEN_DEAD_LOOKS):
            if look:
                await self._clock.sleep(1)
            for attempt_id, entry in list(left.items()):
                kept = decode(KeptAssignment, entry)
                if self._guard.seen_dead(attempt_id, kept.boot_id, kept.pid_namespace, kept.guard):
                    del left[attempt_id]
                    now = self._clock.now()
                    self._do(self._mind.restored_dead(kept.assignment, now))
            if not left:
                return
        for attempt_id in left:
            self._forget(attempt_id)

    def _make_ready(self) -> None:
        """When idle, prepare for the next payload, so that it starts sooner."""
        if self._mind.is_idle:
            with contextlib.suppress(OSError):  # a full disk: the start will report it
                self._guard.prepare(self._ports.workspace.ahead())

    # -- commands -------------------------------------------------------------------------------

    @property
    def _mind(self) -> Brain:
        assert self._brain is not None, "there is no brain before the introduction"
        return self._brain

    def _tell(self, say: Callable[[Brain, float], list[c.Command]]) -> None:
        """Pass an event to the brain, and carry out its commands."""
        self._do(say(self._mind, self._clock.now()))

    def _do(self, commands: list[c.Command]) -> None:
        """Carry out the brain's commands in order."""
        for command in commands:
            if isinstance(command, _AFTER_JOURNAL):
                self._ports.journal.sync()
            self._carry_out(command)
        if self._exit is None and self._mind.due() < self._timer_at:
            self._nudge.set()

    def _carry_out(self, command: c.Command) -> None:
        if isinstance(command, (c.SendTurn, c.SendBeat)):
            if isinstance(command, c.SendBeat) and command.beat.goodbye and self._on_bus:
                self._on_bus.cancel()  # the central revokes the bus login once it has received this
            self._requests.put_nowait(command)
        elif isinstance(command, c.PublishBeat):
            self._publish(topics.TopicKind.BEAT, encode(command.beat))
        elif isinstance(command, c.UseFirstAddress):
            self._to_central.go_home()
        elif isinstance(command, c.LeaderIs):
            self._to_central.leader_is(command.url)
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
            self._errands.collect(command)
        elif isinstance(command, c.Stage):
            self._errands.stage(command.assignment)
        elif isinstance(command, c.UploadAgain):
            assignment = self._attempts.get(command.attempt_id)
            token = assignment.token if assignment is not None else self._line.token
            self._errands.upload_again(command, token)
        elif isinstance(command, c.Abandon):
            self._errands.abandon(command.attempt_id)
        elif isinstance(command, c.Forget):
            self._forget(command.attempt_id)
        elif isinstance(command, c.Follow):
            watched = (self._attempts.get(one) for one in sorted(command.attempt_ids))
            known = tuple(one for one in watched if one is not None)
            self._live_output.watch(known, self._tasks, anew=command.anew)
        elif isinstance(command, c.KillAll):
            for attempt_id in self._attempts:
                self._guard.stop(attempt_id, 0.0)
        elif isinstance(command, c.Exit):
            self._exit = command
            self._ended.set()
        else:
            self._log(command.event, command.facts)

    def _publish(self, kind: topics.TopicKind, payload: bytes) -> None:
        assert self._me is not None
        if self._bus is not None:
            self._bus.publish(topics.up(self._me.community, self._me.pilot, kind), payload)

    def _keep_assignment(self, assignment: Assignment) -> None:
        self._attempts[assignment.attempt_id] = assignment
        kept = KeptAssignment(self._boot_id, self._pid_namespace, assignment, self._guard.life)
        self._ports.journal.keep_assignment(assignment.attempt_id, encode(kept))
        if self._ports.untold is not None:
            self._ports.untold.about(assignment.job, assignment.epoch, assignment.attempt_id)
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
            outfit = self._errands.outfit(assignment.attempt_id)
            given = with_data(self._devices.give(assignment), folder)
            self._guard.start(given, folder, command.fence, outfit)
        except OSError as why:  # a disk that another payload has filled
            self._devices.take_back(assignment.attempt_id)
            text = f"its folder cannot be created: {why}"
            self._do(self._mind.not_started(assignment.attempt_id, text, self._clock.now()))

    def _forget(self, attempt_id: int) -> None:
        self._errands.over(attempt_id)
        self._ports.journal.forget(attempt_id)
        self._attempts.pop(attempt_id, None)

    async def _send_chunk(self, assignment: Assignment, chunk: LogChunk) -> None:
        if self._bus is not None and self._bus.up:
            self._publish(topics.TopicKind.LOG, encode(chunk))
        else:
            await self._line.log_chunk(chunk, assignment.token)

    def _undelivered(self, attempt_id: int, why: str) -> None:
        self._tell(lambda brain, now: brain.undelivered(attempt_id, why, now))

    def _noted(self, attempt_id: int, said: str) -> None:
        self._tell(lambda brain, now: brain.noted(attempt_id, said, now))

    def _secrets(self) -> Iterator[str]:
        """Yield the words that no log may contain."""
        yield self._secret
        yield self._line.token
        yield self._renewal.who.renewal_secret
        if self._me is not None:
            yield self._me.broker.password if self._me.broker is not None else ""
        for assignment in self._attempts.values():
            yield assignment.token
        if self._keeper is not None:
            yield from self._keeper.secrets()
        if self._storage_credentials is not None:
            yield from self._storage_credentials.secrets()

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
            if self._guard.seen_dead(
                attempt_id, self._boot_id, self._pid_namespace, self._guard.life
            )
        )
