"""Pilots that were parked at a leader that is gone take jobs from its successor within seconds.

They are the shipped ones. Their beats, and what they do when no wake-up comes, lie far apart here:
whoever starts a job within seconds was called, or has asked because there is no bus. They first
went to the one that waits, as behind a load balancer that has passed them on.
"""

import json
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from pilotage.central.client.errors import ClientError
from pilotage.central.operate.local_pilots import PilotPlan, start
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.documents.job import Job
from pilotage.proto.pilot_states import PilotState
from tests.services import mosquitto, postgresql

from .brokers import started_broker
from .running import eventually, guard_of
from .standbys import Member, each, the_leader
from .takeovers import NO_BUS

PILOTS = 2
JOB = Job(command=("sleep", "600"))  # one pilot cannot take two of them
# From the new leader's first answer to the start of the last job. It is 1 s over a bus, and without
# one 10 s at most, as they back off while nobody leads: this has room for a slow machine.
STARTED_S = 20.0
# Nothing else brings them to ask by then. An ask that was parked before the bus was up is said
# again after 48 s, a beat comes long after that.
SELDOM: Mapping[str, str] = {
    "lease.lease_s": "7200",  # a beat each 2 400 s
    "lease.poll_parked_s": "3600",
    "lease.silent_pilot_s": "36000",
}


@pytest.fixture
def server() -> Iterator[postgresql.Postgresql]:
    if missing := postgresql.missing() or mosquitto.missing():
        pytest.skip(missing)
    with postgresql.started("shared_buffers=16MB") as running:
        running.sql("CREATE SCHEMA central")
        yield running


@dataclass
class Pilot:
    process: subprocess.Popen[bytes]
    state: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = (self.state / "pilot.log").read_text(errors="replace").splitlines(keepends=True)
        found = [json.loads(one) for one in lines if one.startswith("{") and one.endswith("\n")]
        return [one for one in found if one["event"] == name]


@dataclass
class Stage:
    """One that leads, one that waits, and pilots that are parked at the first."""

    folder: Path
    settings: Mapping[str, str]
    stack: ExitStack
    members: list[Member] = field(default_factory=list[Member])
    pilots: list[Pilot] = field(default_factory=list[Pilot])

    def start(self, name: str) -> Member:
        member = Member(self.folder, self.folder / "central", self.settings, name)
        self.stack.callback(member.end)
        self.members.append(member)
        return member

    def start_pilots(self, leader: Member, home: Member) -> None:
        with leader.client() as client:
            made = client.secrets(SecretRequest(site="PIC", count=PILOTS)).secrets
        for one in made:
            state = self.folder / one.pilot
            plan = PilotPlan(
                central=home.url,
                secret=one.secret,
                state=state,
                told={"cores": 1, "memory_mb": 500},
            )
            pilot = Pilot(start(plan), state)
            self.stack.callback(_bury, pilot.process)
            self.pilots.append(pilot)

    def parked_at(self, leader: Member) -> None:
        """Return when all pilots are parked there, and hear wake-ups if there is a bus."""
        with leader.client() as client:
            eventually(
                lambda: (
                    sum(one.parked for one in client.pilots(states=(PilotState.RUNNING,))) == PILOTS
                ),
                what="parked pilots",
            )
        if "bus.user" in self.settings:
            eventually(lambda: all(one.events("bus_up") for one in self.pilots), what="a bus")

    def took_s(self, hurt: Callable[[Member], None], within_s: float = STARTED_S) -> float:
        """Hurt the one that leads, at once submit a job for each pilot.

        Return the time from when the other one leads to when all jobs have started. Raises where
        they have not by then.
        """
        leader, successor = self.members
        hurt(leader)
        eventually(lambda: _is_submitted(successor), what="a submission")
        eventually(lambda: successor.leads, what="a successor")
        since = time.monotonic()
        eventually(
            lambda: all(one.events("payload_started") for one in self.pilots),
            what="all run",
            within_s=within_s,
        )
        return time.monotonic() - since


def _is_submitted(member: Member) -> bool:
    """Hand in a job for each pilot; one that does not lead yet refuses."""
    with suppress(ClientError, httpx.HTTPError), member.client() as client:
        client.submit([JOB] * PILOTS, key=f"for {member.name}")
        return True
    return False


def _bury(pilot: subprocess.Popen[bytes]) -> None:
    """End a pilot at once; its guard ends by itself."""
    guard = guard_of(pilot.pid)
    pilot.kill()
    pilot.wait()
    eventually(lambda: not guard or not Path(f"/proc/{guard}").exists(), what="the guard's end")


@contextmanager
def stage(
    folder: Path,
    server: postgresql.Postgresql,
    settings: Mapping[str, str],
    *,
    know_leader_alone: bool = False,
) -> Generator[Stage]:
    with ExitStack() as stack:
        settings = {**SELDOM, **settings, "store.url": server.url(schema="central")}
        staged = Stage(folder, settings, stack)
        try:
            leader = staged.start("one")
            the_leader([leader])
            other = staged.start("two")
            staged.start_pilots(leader, home=leader if know_leader_alone else other)
            staged.parked_at(leader)
            yield staged
        except BaseException:
            print("\n".join(each(staged.members)))
            raise


@pytest.mark.parametrize("hurt", [Member.kill9, Member.stand_still])
def test_a_new_leader_calls_them_over_the_bus(
    hurt: Callable[[Member], None], tmp_path: Path, server: postgresql.Postgresql
) -> None:
    """Whoever asks a process that stands still waits for 20 s: called, they do not ask it."""
    with (
        started_broker(tmp_path / "broker") as (_, settings),
        stage(tmp_path, server, settings) as staged,
    ):
        took_s = staged.took_s(hurt)

    print(f"called, they had all started after {took_s:.1f} s")


def test_without_a_bus_they_ask_by_themselves(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    with stage(tmp_path, server, NO_BUS) as staged:
        took_s = staged.took_s(Member.kill9)

    print(f"they asked by themselves, and had all started after {took_s:.1f} s")


def test_those_that_know_no_other_process_hear_over_the_bus_where_the_new_leader_is(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    """Nobody passes them on: nothing stands before the processes, and the one they know is gone."""
    often = {"lease.lease_s": "12"}  # a beat each 4 s
    with (
        started_broker(tmp_path / "broker") as (_, settings),
        stage(tmp_path, server, {**settings, **often}, know_leader_alone=True) as staged,
    ):
        staged.took_s(Member.kill9, within_s=60.0)  # that it comes to it, not how soon
