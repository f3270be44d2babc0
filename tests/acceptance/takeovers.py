"""Two centrals on one PostgreSQL under load, for stories in which one of them is hurt.

Runners take jobs and report them, a submitter hands jobs in. A job is lost if it was acknowledged
and is not Done in the end, and double if it was given twice or counted twice.
"""

import shutil
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx

from pilotage.central.client import Client
from pilotage.central.client.errors import ClientError
from pilotage.central.operate.servers.postgresql import Postgresql
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.documents.job import Job

from .database_way import DatabaseWay, database_way
from .runners import Ran, Runner
from .running import eventually
from .standbys import Member, each, the_leader

TAKES_S = 8.0  # the promise: from the fault to the next match
RUNNERS = 4
BATCH = 5
JOB = Job(command=("true",))
COUNTED = "SELECT count(*), count(DISTINCT job_id) FROM central.attempt WHERE event = 'succeeded'"
NO_BUS: Mapping[str, str] = {"bus.broker": "none"}


class Story:
    """Two centrals, each with a way of its own to the database, and what is done with them."""

    def __init__(
        self, folder: Path, server: Postgresql, settings: Mapping[str, str], stack: ExitStack
    ) -> None:
        self.folder, self.data, self._stack = folder, folder / "central", stack
        self._settings = settings
        self.ways: dict[str, DatabaseWay] = {}
        self.members: list[Member] = []
        self.target = server.folder
        self.ran, self.stop = Ran(), threading.Event()
        self.jobs: list[int] = []
        self._handing_in = threading.Lock()
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
        settings = {"store.url": self.ways[name].url("central"), **self._settings}
        member = Member(self.folder, self.data, settings, f"{name}-{lives + 1}")
        self._stack.callback(member.end)
        self.members.append(member)
        return member

    def stand_still(self, one: Member) -> None:
        """Stop one between two submissions: whoever has begun one waits minutes for its answer."""
        with self._handing_in:
            one.stand_still()

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
            for one in self.alive:
                with (
                    self._handing_in,
                    suppress(ClientError, httpx.HTTPError),
                    Client(one.url, self.token, patience_s=0.5) as client,
                ):
                    if not one.is_stopped:
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
def story(
    folder: Path, server: Postgresql, settings: Mapping[str, str] = NO_BUS
) -> Generator[Story]:
    with ExitStack() as stack:
        told = Story(folder, server, settings, stack)
        try:
            told.begin()
            yield told
        except BaseException:
            print("\n".join(each(told.members)))
            raise
        finally:
            told.stop.set()
