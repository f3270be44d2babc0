"""Two centrals on one PostgreSQL: whatever becomes of one, the other goes on within seconds.

Under load, as `takeovers.py` has it.
"""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from pilotage.central.operate.start_failures import EXIT_BROKEN
from tests.services import postgresql

from .runners import Runner
from .running import ROOT, STARTS_S
from .standbys import the_leader
from .takeovers import NO_BUS, TAKES_S, story


@pytest.fixture
def server() -> Iterator[postgresql.Postgresql]:
    if postgresql.missing():
        pytest.skip(postgresql.missing())
    with postgresql.started("shared_buffers=16MB") as running:
        running.sql("CREATE SCHEMA central")
        yield running


def test_a_leader_that_is_killed_is_replaced_and_its_successor_too(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    with story(tmp_path, server) as told:
        first = the_leader(told.alive)
        term, fault = told.ran.term, time.monotonic()
        first.kill9()
        command = [sys.executable, "-m", "pilotage.central.cli", "status", "--data", str(told.data)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT, text=True) as status:
            took_s = told.next_match_s(fault, term)
            _, said = status.communicate(timeout=STARTS_S)
        (second,) = told.alive
        asked = [second.status("/health"), second.term]
        third = told.start(first.name.partition("-")[0])
        for one in told.runners:  # it was started again elsewhere
            one.add(third.url)
        told.goes_on()
        waits = [third.status("/health"), third.status("/v1/turn"), third.status("/ready")]
        second.process.terminate()  # a graceful end: nobody waits for a lease
        fault = time.monotonic()
        gracefully_s = told.next_match_s(fault, term + 1)
        told.finish(server)

    assert took_s < TAKES_S and gracefully_s < TAKES_S
    assert (status.returncode, "still starting" in said) == (0, True), said
    assert asked == [200, term + 1]
    assert waits == [200, 421, 421]


def test_a_leader_that_stood_still_changes_nothing_and_keeps_no_lease_alive(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    with story(tmp_path, server) as told:
        stale = the_leader(told.alive)
        address = ("127.0.0.1", int(stale.url.rpartition(":")[2]))
        term, fault = told.ran.term, time.monotonic()
        told.stand_still(stale)
        late = socket.create_connection(address, 5)  # its kernel takes it, it does not
        late.sendall(_beat(told.runners[0]))
        took_s = told.next_match_s(fault, term)
        told.goes_on()
        stale.go_on()
        code = stale.process.wait(30)
        late.settimeout(10)
        said = b""
        with suppress(OSError):
            said = late.recv(4_096)
        late.close()
        told.finish(server)

    assert took_s < TAKES_S
    assert code == EXIT_BROKEN
    assert b" 200 " not in said
    assert [stale.events("lead_lost"), stale.events("store_broken")] != [[], []]


def test_a_leader_that_is_cut_from_the_database_ends_before_another_begins(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    with story(tmp_path, server) as told:
        cut = the_leader(told.alive)
        name = cut.name.partition("-")[0]
        term, fault = told.ran.term, time.monotonic()
        told.ways[name].cut()
        code = cut.process.wait(30)
        ended_s = time.monotonic() - fault
        took_s = told.next_match_s(fault, term)
        told.ways[name].heal()
        told.finish(server)

    assert code == EXIT_BROKEN
    assert ended_s < 5.0 and ended_s < took_s < TAKES_S


def test_neither_a_database_that_crashes_nor_ended_connections_lose_anything(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    with story(tmp_path, server) as told:
        before = the_leader(told.alive)
        term, fault = told.ran.term, time.monotonic()
        server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'pilotage%'"
        )
        ended_s = told.next_match_s(fault, term)
        before.process.wait(30)
        again = told.start(before.name.partition("-")[0])
        for one in told.runners:
            one.add(again.url)
        told.goes_on()

        leader = the_leader(told.alive)
        server.stop(signal.SIGQUIT)
        leader.process.wait(30)
        term = told.ran.term
        time.sleep(1.0)
        server.start("shared_buffers=16MB")
        fault = time.monotonic()
        crashed_s = told.next_match_s(fault, term)
        told.finish(server)

    assert ended_s < TAKES_S and crashed_s < TAKES_S


@pytest.mark.parametrize("way", ["an address that follows", "both servers in store.url"])
def test_a_promoted_standby_server_has_all_that_was_acknowledged(
    tmp_path: Path, server: postgresql.Postgresql, way: str
) -> None:
    # First: from when a standby is named until it has caught up, no commit returns.
    with ExitStack() as stack:
        replica = stack.enter_context(postgresql.standby_of(server))
        settings = dict(NO_BUS)
        if way == "both servers in store.url":
            both = f"{replica.folder},{server.folder}"
            settings["store.url"] = server.url(schema="central").replace(str(server.folder), both)
        told = stack.enter_context(story(tmp_path, server, settings))
        told.goes_on()
        term, fault = told.ran.term, time.monotonic()
        leader = the_leader(told.alive)
        server.stop(signal.SIGQUIT)
        for one in told.ways.values():  # nobody takes them where the URL has both
            one.target = replica.folder
        replica.promote()
        took_s = told.next_match_s(fault, term)
        code = leader.process.wait(30)
        told.finish(replica)

    assert code == EXIT_BROKEN
    assert took_s < TAKES_S


def _beat(runner: Runner) -> bytes:
    """Return a beat as that pilot would say it over a connection of its own."""
    body = runner.beat()
    head = (
        "POST /v1/beat HTTP/1.1\r\nhost: central\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {runner.token}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
