"""Two centrals on one PostgreSQL: whatever becomes of one, the other goes on within seconds.

Under load: runners take jobs and report them, a submitter hands jobs in. A job is lost if it was
acknowledged and is not Done in the end, and double if it was given twice or counted twice.
"""

import shutil
import signal
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from pilotage.central.client import Client
from pilotage.central.client.errors import ClientError
from pilotage.central.operate.postgresql import Postgresql
from pilotage.central.operate.starting import EXIT_BROKEN
from pilotage.proto.api import SecretRequest
from pilotage.proto.job import Job
from tests.services import postgresql

from .database_way import DatabaseWay, database_way
from .runners import Ran, Runner
from .running import eventually
from .standbys import Member, each, the_leader

TAKES_S = 8.0  # the promise: from the fault to the next match
RUNNERS = 4
BATCH = 5
JOB = Job(command=("true",))
COUNTED = "SELECT count(*), count(DISTINCT job_id) FROM central.attempt WHERE event = 'succeeded'"


@pytest.fixture
def server() -> Iterator[postgresql.Postgresql]:
    if postgresql.missing():
        pytest.skip(postgresql.missing())
    with postgresql.started("shared_buffers=16MB") as running:
        running.sql("CREATE SCHEMA central")
        yield running


class Story:
    """Two centrals, each with a way of its own to the database, and what is done with them."""

    def __init__(self, folder: Path, server: Postgresql, stack: ExitStack) -> None:
        self.folder, self.data, self._stack = folder, folder / "central", stack
        self.ways: dict[str, DatabaseWay] = {}
        self.members: list[Member] = []
        self.target = server.folder
        self.ran, self.stop = Ran(), threading.Event()
        self.jobs: list[int] = []
        for name in ("one", "two"):
            self.start(name)
        the_leader(self.members)
        self.token = (self.data / "admin.token").read_text().strip()

    def start(self, name: str) -> Member:
        """Start a central, or start it again as its supervisor does."""
        if name not in self.ways:
            folder = Path("/tmp") / f"way-{id(self):x}-{name}"  # a socket's path must be short
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            way = database_way(folder, self.target)
            self.ways[name] = self._stack.enter_context(way)
        lives = sum(one.name.startswith(name) for one in self.members)
        settings = {"store.url": self.ways[name].url("central"), "bus.broker": "none"}
        member = Member(self.folder, self.data, settings, f"{name}-{lives + 1}")
        self._stack.callback(member.end)
        self.members.append(member)
        return member

    @property
    def alive(self) -> list[Member]:
        return [one for one in self.members if one.process.poll() is None]

    def begin(self) -> None:
        """Put load on it."""
        leader = the_leader(self.members)
        with Client(leader.url, self.token) as client:
            made = client.secrets(SecretRequest(site="PIC", count=RUNNERS))
        urls = [one.url for one in self.members]
        self.runners = [Runner(urls, one.secret, self.ran, self.stop) for one in made.secrets]
        self.submitter = threading.Thread(target=self._submit, daemon=True)
        for one in (*self.runners, self.submitter):
            one.start()
        self.goes_on()

    def goes_on(self) -> None:
        """Return when some more jobs were given."""
        before = len(self.ran.given)

        def more() -> bool:
            assert [one.failed for one in self.runners] == [""] * RUNNERS
            return len(self.ran.given) > before + 20

        eventually(more, what="jobs are given")

    def _submit(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            self.jobs += self._submitted(f"key-{number}")
            time.sleep(0.1)

    def _submitted(self, key: str) -> list[int]:
        """Hand in until it is acknowledged, by whomever."""
        while not self.stop.is_set():
            for one in [one for one in self.alive if not one.is_stopped]:
                with (
                    suppress(ClientError, httpx.HTTPError),
                    Client(one.url, self.token, patience_s=0.5) as client,
                ):
                    return list(client.submit([JOB] * BATCH, key=key).ids())
        return []

    def next_match_s(self, fault: float, term: int) -> float:
        """Return how long it took from a fault to a job that a later leader gave."""
        eventually(lambda: self.ran.first_after(term) is not None, what="the next match")
        return (self.ran.first_after(term) or fault) - fault

    def finish(self, server: Postgresql) -> None:
        """End the load; see that nothing was lost and nothing happened twice."""
        known = list(self.jobs)
        eventually(lambda: set(known) <= set(self.ran.by_job), what="all acknowledged were given")
        eventually(lambda: len(known) <= int(server.sql(COUNTED).split("|")[0]), what="all Done")
        self.stop.set()
        for one in (*self.runners, self.submitter):
            one.join(30)
        twice = {job: by for job, by in self.ran.by_job.items() if len(by) > 1}
        counted, distinct = map(int, server.sql(COUNTED).split("|"))

        assert [one.failed for one in self.runners] == [""] * RUNNERS
        assert twice == {}
        assert counted == distinct >= len(known)


@contextmanager
def story(folder: Path, server: Postgresql) -> Generator[Story]:
    with ExitStack() as stack:
        told = Story(folder, server, stack)
        try:
            told.begin()
            yield told
        except BaseException:
            print("\n".join(each(told.members)))
            raise
        finally:
            told.stop.set()


def test_a_leader_that_is_killed_is_replaced_and_its_successor_too(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    with story(tmp_path, server) as told:
        first = the_leader(told.alive)
        term, fault = told.ran.term, time.monotonic()
        first.kill9()
        took_s = told.next_match_s(fault, term)
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
    assert asked == [200, term + 1]
    assert waits == [200, 421, 421]


def test_a_leader_that_stood_still_changes_nothing_and_keeps_no_lease_alive(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    with story(tmp_path, server) as told:
        stale = the_leader(told.alive)
        address = ("127.0.0.1", int(stale.url.rpartition(":")[2]))
        term, fault = told.ran.term, time.monotonic()
        stale.stand_still()
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


def test_a_promoted_standby_server_has_all_that_was_acknowledged(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    with story(tmp_path, server) as told, postgresql.standby_of(server) as replica:
        told.goes_on()
        term, fault = told.ran.term, time.monotonic()
        leader = the_leader(told.alive)
        server.stop(signal.SIGQUIT)
        for way in told.ways.values():
            way.target = replica.folder
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
