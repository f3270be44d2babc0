"""A `store.url` with several servers: the one that leads is found, whatever becomes of the others.

A primary and a streaming standby, each with an address of its own, and a machine that is gone.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import pytest

from pilotage.central.catalogue import record_read as catalogue_read
from pilotage.central.operate.leadership import LOOK_S, KnownLeader, wait_for_lead
from pilotage.central.store.errors import StoreBroken
from pilotage.central.store.leaders import SHARD
from pilotage.central.store.postgresql import PostgresqlLeaders, open_postgresql
from pilotage.central.store.postgresql.check import fit, reading
from pilotage.central.store.postgresql.driver import connect
from pilotage.central.store.postgresql.hints import Hints
from pilotage.central.store.postgresql.servers import Server, servers_of
from tests.fakes import LoopClock
from tests.services import postgresql

PORT = 5432
AS_WRITTEN = ["", "&target_session_attrs=read-write", "&target_session_attrs=primary"]
GONE = 250  # the number of its address
WHO_LEADS = "SELECT pg_is_in_recovery()"


def _url(*hosts: str, attributes: str = "") -> str:
    """Return the URL of several servers as the documentation writes it."""
    servers = ",".join(f"{host}:{PORT}" for host in hosts)
    return f"postgresql://pilotage@{servers}/postgres?search_path=several{attributes}"


class Two(NamedTuple):
    """Two servers and where they listen, each on the usual port."""

    primary: postgresql.Postgresql
    standby: postgresql.Standby
    leads: str
    follows: str


@contextmanager
def _two(pair: int) -> Generator[Two]:
    if postgresql.missing():
        pytest.skip(postgresql.missing())
    one, other = _address(2 * pair), _address(2 * pair + 1)
    with postgresql.started("shared_buffers=16MB", f"listen_addresses={one}") as primary:
        primary.sql("CREATE SCHEMA several")
        with postgresql.standby_of(primary, f"listen_addresses={other}") as standby:
            yield Two(primary, standby, one, other)


def _address(number: int) -> str:
    """Return an address of this machine that no other run of the tests has."""
    high, low = divmod(os.getpid() % 62_500, 250)
    return f"127.{high + 1}.{low + 1}.{number + 1}"


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    with _two(0) as pair:
        yield pair


@pytest.fixture(autouse=True)
def first_start() -> None:
    """Nothing is known yet of who answered."""
    servers_of.cache_clear()


@pytest.fixture(params=["says nothing", "takes no connection"])
def gone(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A machine of which nothing comes, either to a connection or at all."""
    with ExitStack() as stack:
        is_deaf = request.param == "takes no connection"
        server = socket.create_server((_address(GONE), PORT), backlog=0 if is_deaf else 8)
        listening = stack.enter_context(server)
        if is_deaf:
            fills = stack.enter_context(socket.create_connection((_address(GONE), PORT)))
            fills.setblocking(False)
        listening.setblocking(False)
        yield listening


def _come(listening: socket.socket) -> int:
    """Return how many connections wait there, and end them."""
    number = 0
    while True:
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return number
        number += 1


class Log:
    """What is said of a wait."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.said.append(f"{event} {fields.get('why', '')}".strip())


class Impatient(LoopClock):
    """The first look must do."""

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the lead was looked for again")


def _looked_at(url: str) -> None:
    with reading(url) as session:
        assert session.one("durability")["in_recovery"] is False


@pytest.mark.parametrize("attributes", AS_WRITTEN)
async def test_of_several_servers_the_one_that_leads_is_taken(two: Two, attributes: str) -> None:
    url = _url(two.follows, two.leads, attributes=attributes)
    for only_read in (True, False):
        servers_of.cache_clear()
        connection = await connect(url, only_read=only_read)
        found = await connection.fetch(WHO_LEADS)
        await connection.close()

        assert [tuple(row) for row in found] == [(False,)]
    await asyncio.to_thread(fit, url, time.time())
    leaders = PostgresqlLeaders(url)
    lead = await leaders.take_lead(SHARD, "one", "http://one", 5.0)
    await leaders.close()
    store = await open_postgresql(url, clock_wall=time.time, fatal=pytest.fail, lead=lead)
    await store.read(catalogue_read.keys, "ctao")
    await store.close()
    await asyncio.to_thread(_looked_at, url)
    assert lead is not None
    assert servers_of(url).order == ((two.leads, PORT), (two.follows, PORT))
    leaders = PostgresqlLeaders(url)
    assert await leaders.give_up_lead(lead)
    await leaders.close()


async def test_one_server_alone_is_taken_whatever_is_asked_of_it(two: Two) -> None:
    """asyncpg takes a connection that only reads for a server that does."""
    connection = await connect(_url(two.leads, attributes=AS_WRITTEN[1]), only_read=True)
    found = await connection.fetch(WHO_LEADS)
    await connection.close()

    assert [tuple(row) for row in found] == [(False,)]


async def test_a_machine_that_is_gone_costs_one_look_a_part_of_its_time(
    two: Two, gone: socket.socket
) -> None:
    url = _url(_address(GONE), two.follows, two.leads)
    leaders, log, began = PostgresqlLeaders(url), Log(), time.monotonic()
    held = await wait_for_lead(
        leaders, "one", "http://one", seen=KnownLeader(), patient=False, clock=Impatient(), log=log
    )
    took_s = time.monotonic() - began
    _come(gone)
    again = await connect(url, shared_s=LOOK_S)
    await again.close()
    came = _come(gone)
    await leaders.give_up_lead(held.lead)
    await leaders.close()

    assert log.said == ["lead_taken"]
    assert 0.3 < took_s < LOOK_S  # it was tried
    assert came == 0
    assert servers_of(url).order[0] == Server(two.leads, PORT)


async def test_who_waited_not_long_enough_asks_another_one_next(
    two: Two, gone: socket.socket
) -> None:
    url = _url(_address(GONE), two.leads)
    hints = Hints(url)
    await hints.wait(0.05)
    order = servers_of(url).order
    hints.close()

    assert order == ((two.leads, PORT), (_address(GONE), PORT))


async def test_where_none_leads_yet_one_waits_until_one_does() -> None:
    with _two(1) as (primary, standby, leads, follows):
        primary.stop(signal.SIGQUIT)
        url = _url(leads, follows, attributes="&target_session_attrs=primary")
        why = rf"no server is the primary: {leads}:.*; {follows}:{PORT}: it is a standby"
        leaders = PostgresqlLeaders(url)
        await asyncio.to_thread(fit, url, time.time())
        with pytest.raises(StoreBroken, match=why):
            await leaders.lead(SHARD)
        with pytest.raises(StoreBroken, match=why):
            await open_postgresql(url, clock_wall=time.time, fatal=pytest.fail)
        log = Log()

        class Promotes(LoopClock):
            async def sleep(self, seconds: float) -> None:
                standby.promote()

        held = await wait_for_lead(
            leaders,
            "one",
            "http://one",
            seen=KnownLeader(),
            patient=True,
            clock=Promotes(),
            log=log,
        )
        await leaders.close()

    assert held.lead.term == 1
    assert [one.partition(":")[0] for one in log.said] == ["lead_unknown PostgreSQL", "lead_taken"]
