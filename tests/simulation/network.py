"""The network between the hosts: delays, losses, copies, cuts in both directions or in one."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from pilotage.pilot.ports import HttpReply, NoReply

from .processes import Host, HostLoop, Process

USUAL_S = 0.002  # one way
RETRANSMIT_S = (0.2, 3.0)  # what the loss of a packet costs on TCP
KEPT_S = 300.0  # a server gives up a request whose peer is gone

# Method, path, body, token → the answer. It runs in a process of the server.
Serve = Callable[[str, str, bytes, str], Coroutine[Any, Any, HttpReply]]


@dataclass
class Weather:
    """What a seed has decided of the network. `calm` ends all of it."""

    loss: float = 0.0  # of a request or a message, after which nothing comes
    copies: float = 0.0  # share of what arrives twice
    slow_s: float = 0.0  # a tenth of all takes up to so long
    calm: bool = False


class Network:
    """Carries what processes say to each other. Nothing is promised but that time passes."""

    def __init__(self, loop: HostLoop, chance: random.Random, weather: Weather) -> None:
        self.loop, self._chance, self.weather = loop, chance, weather
        self.cuts: dict[tuple[str, str], float] = {}  # (from, to) → until
        self._cut_until = 0.0  # the end of the last one
        self.mended: dict[object, Callable[[], None]] = {}  # called when all cuts end early
        self.listening: dict[str, tuple[Process, Serve]] = {}
        self.heard: Callable[[str, HttpReply], None] = lambda path, reply: None
        self.late: Callable[[str], float] = lambda path: 0.0  # seconds; 0: no copy comes late
        # Behind one address there may be several servers: which takes a request, and how it went.
        self.route: Callable[[Host, Host], Host] = lambda source, target: target
        self.routed: Callable[[Host, Host, int], None] = lambda source, server, status: None

    # -- faults -----------------------------------------------------------------------------------

    def cut(self, one: str, other: str, seconds: float, *, both: bool = True) -> None:
        """Let nothing pass from one host to another for so long; `*` stands for all."""
        until = self.loop.now + seconds
        self._cut_until = max(until, self._cut_until)
        self.cuts[one, other] = max(until, self.cuts.get((one, other), 0.0))
        if both:
            self.cuts[other, one] = max(until, self.cuts.get((other, one), 0.0))

    def heal(self) -> None:
        """Let all pass from now on."""
        self.weather.calm = True
        self.mend()

    def mend(self) -> None:
        """End all cuts."""
        self.cuts.clear()
        self._cut_until = 0.0
        for tell in list(self.mended.values()):
            tell()

    @property
    def is_open(self) -> bool:
        """Whether no cut lasts now, between any hosts."""
        return self._cut_until <= self.loop.now

    def passes(self, one: str, other: str) -> bool:
        """Whether something can go from one host to another now."""
        return self.is_open or self.opens_at(one, other) <= self.loop.now

    def opens_at(self, one: str, other: str) -> float:
        """Return when the last known cut between two hosts ends or has ended; 0 for none."""
        until = self.cuts.get
        return max(until((one, other), 0.0), until((one, "*"), 0.0), until(("*", other), 0.0))

    # -- messages ---------------------------------------------------------------------------------

    def send(
        self,
        one: Host,
        other: Host,
        what: Callable[..., None],
        *args: Any,
        process: Process | None = None,
        copied: bool = False,
    ) -> None:
        """Carry something one way: `what` is called on arrival, as a step of `process`."""
        if not self.passes(one.name, other.name):
            return
        weather, chance = self.weather, self._chance
        if weather.calm:
            self.loop.at(self.loop.now + USUAL_S, process, what, *args)
            return
        if weather.loss and chance.random() < weather.loss:
            return
        twice = copied and weather.copies > 0 and chance.random() < weather.copies
        for _ in range(2 if twice else 1):
            self.loop.at(self.loop.now + self._delay_s(), process, what, *args)

    def _delay_s(self) -> float:
        delay_s = USUAL_S + self._chance.expovariate(100.0)
        if self.weather.slow_s and self._chance.random() < 0.1:
            delay_s += self._chance.uniform(0.0, self.weather.slow_s)
        return delay_s

    # -- requests ---------------------------------------------------------------------------------

    def listen(self, name: str, process: Process, serve: Serve) -> None:
        """Take requests that come to a host's server, until the process is dead."""
        self.listening[name] = process, serve

    async def request(
        self,
        source: Host,
        target: Host,
        *,
        method: str,
        path: str,
        body: bytes,
        token: str,
        timeout_s: float,
    ) -> HttpReply:
        """Send a request and return its answer. Raises NoReply."""
        target = self.route(source, target)
        exchange = Exchange(self, source, target, self.loop.create_future())
        self.send(
            source, target, exchange.arrive, method, path, body, token, copied=method != "PUT"
        )
        late_s = self.late(path)
        if late_s:  # a proxy has kept it, and delivers it again
            copy = Exchange(self, source, target, self.loop.create_future())
            copy.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
            self.loop.at(self.loop.now + late_s, None, copy.arrive, method, path, body, token)
        try:
            async with asyncio.timeout(timeout_s):
                reply = await exchange.answer
        except (TimeoutError, NoReply) as why:
            self.routed(source, target, 0)
            if isinstance(why, NoReply):
                raise
            raise NoReply(f"no answer in {timeout_s} s") from None
        self.routed(source, target, reply.status)
        return reply


@dataclass(eq=False, slots=True)
class Exchange:
    """One request on its way, and its answer on the way back."""

    network: Network
    source: Host
    target: Host
    answer: "asyncio.Future[HttpReply]"
    served: list[Process] = field(default_factory=list[Process])

    def arrive(self, method: str, path: str, body: bytes, token: str) -> None:
        """Nobody's step: the kernel of the target takes the connection."""
        found = self.network.listening.get(self.target.name)
        if found is None or found[0].dead:
            self._back(self._refused)
            return
        process, serve = found
        again = bool(self.served)
        if not again:
            process.died.append(self._reset)
        self.served.append(process)
        process.start(self._serve(serve, method, path, body, token, again))

    async def _serve(
        self, serve: Serve, method: str, path: str, body: bytes, token: str, again: bool
    ) -> None:
        try:
            reply = await serve(method, path, body, token)
        finally:
            for process in self.served:
                if self._reset in process.died:
                    process.died.remove(self._reset)
        if not again:  # nobody waits for the answer to a copy
            self._back(self._answered, reply, path)

    def _back(self, what: Callable[..., None], *args: Any) -> None:
        self.network.send(self.target, self.source, what, *args)

    def _reset(self) -> None:
        """The server has died: its kernel closes the connection."""
        self._back(self._refused)

    def _refused(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(NoReply("the connection was closed"))

    def _answered(self, reply: HttpReply, path: str) -> None:
        if not self.answer.done():
            self.network.heard(path, reply)
            self.answer.set_result(reply)
