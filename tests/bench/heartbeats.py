"""Beats of very many pilots over mosquitto, each of them answered, each with a job that runs."""

import asyncio
import random
import secrets
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from pilotage.central.operate.servers.mosquitto import Mosquitto, missing
from pilotage.proto import topics
from pilotage.proto.api.health import Health
from pilotage.proto.topics import TopicKind

from .figures import Figure, figure, percentile
from .load import backlog, logins, probe
from .load.asks import FIRST_N, Asking, Given, Voice
from .load.fleet import Member, enlist
from .load.gauges import Gauge
from .load.line import Line
from .load.mqtt import Link
from .load.stage import Act, Stage, play, stage
from .load.wire import converse, head, request

NAME = "heartbeats"
AT_ONCE = 100  # connections that are being made
TICK_S = 0.01
WORK = (
    "100,000 pilots with one job each send a heartbeat every 40 s through mosquitto, on 18,000 "
    "connections, for 10 minutes. A request beside the load measures the lag of the event loop."
)
BOUND = "The MQTT client takes three fifths of the CPU of a heartbeat, judging it a tenth."


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    pilots: int = 100_000
    connections: int = 18_000
    beat_s: float = 40.0
    seconds: float = 600.0


FULL = Scale()


def run() -> tuple[str, list[Figure]]:
    """Measure at full scale."""
    if missing():
        raise SystemExit(f"heartbeats: {missing()} must be installed")
    return WORK, measure(FULL)


def measure(scale: Scale) -> list[Figure]:
    """Measure all rows."""
    with stage() as on:
        with on.act() as act:
            holders = play(_employ(act, scale))
        users = [f"bench{number}" for number in range(scale.connections)]
        folder = on.folder / "broker"
        folder.mkdir(mode=0o700)
        password = secrets.token_urlsafe()
        (folder / "password").write_text(password)
        broker = Mosquitto(folder, password)
        logins.write(broker.logins, users, (member.pilot for member, _ in holders))
        broker.start()
        try:
            return _beaten(on, broker, users, holders, scale)
        finally:
            broker.stop()


def _beaten(
    on: Stage,
    broker: Mosquitto,
    users: Sequence[str],
    holders: Sequence[tuple[Member, Given]],
    scale: Scale,
) -> list[Figure]:
    options = {
        "bus.broker": f"mqtt://127.0.0.1:{broker.port}",
        "bus.user": broker.user,
        "bus.password_file": str(on.folder / "broker" / "password"),
        "lease.lease_s": str(3 * scale.beat_s),
    }
    with on.act(options) as act:
        return play(_beat(act, broker.port, users, holders, scale))


async def _employ(act: Act, scale: Scale) -> list[tuple[Member, Given]]:
    """Register all pilots, and give each of them a job."""
    await backlog.in_row_order(act.url, act.token, scale.pilots)
    members = await enlist(act.url, act.token, scale.pilots)
    talks = [
        Asking([Voice(one, cores=1) for one in members[at::64]], jobs_max=1, rounds=1)
        for at in range(64)
    ]
    await converse(act.url, [talk for talk in talks if talk.voices])
    return [
        (member, given)
        for at, talk in enumerate(talks)
        for member, given in zip(members[at::64], talk.given, strict=True)
    ]


@dataclass
class _Heard:
    """What the pilots have said and heard."""

    sent: int = 0
    answered: int = 0
    stale: int = 0
    sent_at: dict[bytes, float] = field(default_factory=dict[bytes, float])  # by topic `down`
    took_ms: "array[float]" = field(default_factory=lambda: array("d"))

    def take(self, topic: bytes, payload: bytes) -> None:
        at = self.sent_at.pop(topic, None)
        if at is None or not payload.startswith(b'{"beat":{"n":'):
            return
        self.answered += 1
        self.took_ms.append((asyncio.get_running_loop().time() - at) * 1_000)
        if b'"stale":[]' not in payload:
            self.stale += 1


async def _beat(
    act: Act,
    port: int,
    users: Sequence[str],
    holders: Sequence[tuple[Member, Given]],
    scale: Scale,
) -> list[Figure]:
    heard = _Heard()
    links = [Link(user, logins.PASSWORD, heard.take) for user in users]
    beats = [
        _Beating(member, given, links[number % len(links)], heard)
        for number, (member, given) in enumerate(holders)
    ]
    await _open(links, beats, port)
    random.Random(4).shuffle(beats)
    await _go_round(beats, scale.beat_s, scale.beat_s)  # the first round warms up
    heard.sent = heard.answered = heard.stale = 0
    del heard.took_ms[:]
    watching = probe.start(act.url, scale.seconds)
    gauge = Gauge(act.pid)
    await _go_round(beats, scale.beat_s, scale.seconds)
    share = gauge.cpu_s() / scale.seconds
    await asyncio.sleep(1.0)  # the last answers are under way
    lag_ms = await asyncio.to_thread(probe.waits_ms, watching)
    live = await _live(act)
    for link in links:
        link.close()
    return [
        figure(NAME, "central", share * 100, "% of a core"),
        figure(NAME, "loop lag, p99", percentile(lag_ms, 0.99), "ms"),
        figure(NAME, "leases that ended", len(holders) - live, "attempts"),
        figure(NAME, "beats not answered", heard.sent - heard.answered, "beats"),
        figure(NAME, "beats called stale", heard.stale, "beats"),
        figure(NAME, "beats", heard.sent / scale.seconds, "beats/s"),
        figure(NAME, "beat to its answer, p99", percentile(list(heard.took_ms), 0.99), "ms"),
        figure(NAME, "connections", len(links), ""),
        figure(NAME, "resident", gauge.memory_mb(), "MB"),
    ]


class _Beating:
    """One pilot's beats."""

    def __init__(self, member: Member, given: Given, link: Link, heard: _Heard) -> None:
        self.down = topics.down(member.community, member.pilot)
        self.link = link
        self._topic = topics.up(member.community, member.pilot, TopicKind.BEAT).encode()
        self._down, self._heard, self._n = self.down.encode(), heard, 0
        self._said = (
            b'{"gen":"%b","session":%d,"parked":0,"closed":%d,"holding":[{"job":%b,"epoch":%b}],"n":'
            % (member.gen.encode(), member.session, FIRST_N + 1, *given[:2])
        )

    def beat(self) -> None:
        self._n += 1
        self._heard.sent += 1
        self._heard.sent_at[self._down] = asyncio.get_running_loop().time()
        self.link.publish(self._topic, b"%b%d}" % (self._said, self._n))


async def _open(links: Sequence[Link], beats: Sequence[_Beating], port: int) -> None:
    """Make all connections, some at a time."""
    mine: dict[Link, list[str]] = {link: [] for link in links}
    for one in beats:
        mine[one.link].append(one.down)
    for start in range(0, len(links), AT_ONCE):
        async with asyncio.TaskGroup() as tasks:
            for link in links[start : start + AT_ONCE]:
                tasks.create_task(link.open(port, mine[link]))


async def _go_round(beats: Sequence[_Beating], round_s: float, seconds: float) -> None:
    """Let all beat once a round, evenly spread."""
    clock = asyncio.get_running_loop().time
    began, said = clock(), 0
    while (passed := clock() - began) < seconds:
        due = int(passed / round_s * len(beats))
        for number in range(said, due):
            beats[number % len(beats)].beat()
        said = due
        await asyncio.sleep(TICK_S)


async def _live(act: Act) -> int:
    line = await Line.open(act.url, array("d"))
    found = await line.ask(request(head("/health", method="GET")))
    await line.close()
    return msgspec.json.decode(found, type=Health).attempts
