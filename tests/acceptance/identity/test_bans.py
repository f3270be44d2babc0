"""A ban of a person refuses requests, holds and kills jobs: in all processes, after kill -9 too."""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from pilotage.central.client import Client, JobHandle
from pilotage.central.client.errors import PersonBanned
from pilotage.proto.api.bans import BanView
from pilotage.proto.api.jobs import SummaryBy
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState
from tests.services import postgresql

from ..beacons import Beacons
from ..running import RunningCentral, eventually, running_central
from ..test_api_processes import asked, beside

LEASE_S = 15.0
BEAT_S = LEASE_S / 3
MANY = 30_000  # jobs, in 30 transactions
SOON_S = 2.0  # until other processes know of a ban
NOWHERE = Job(command=("true",), needs=(Need(sites=("NOWHERE",)),))
S = JobState


@dataclass
class Town:
    """A central with a pilot, and people with tokens."""

    central: RunningCentral
    stack: ExitStack
    beacons: Beacons

    def person(self, subject: str, role: Role = Role.USER) -> Client:
        wanted = TokenIssue(subject=subject, role=role, groups=("users",))
        token = self.central.client.issue_token(wanted).token
        return self.stack.enter_context(Client(self.central.url, token, patience_s=30.0))

    def states(self, owner: str) -> Counter[JobState]:
        """Count the jobs of a person, as the leader has them in memory."""
        rows = self.central.client.summary(SummaryBy.OWNER).rows
        return Counter(next((row.counts for row in rows if row.key == owner), {}))


@pytest.fixture
def town(tmp_path: Path) -> Generator[Town]:
    options = {"lease.lease_s": f"{LEASE_S:.0f}"}
    with running_central(tmp_path / "town", options) as central, ExitStack() as stack:
        yield Town(central, stack, Beacons(tmp_path / "beacons"))


def run(town: Town, who: Client) -> JobHandle:
    """Submit a long job and return it once it runs."""
    (job,) = who.submit(town.beacons.job(600.0)).handles()
    eventually(lambda: town.beacons.running(job.id), what="a running job")
    return job


def is_refused(who: Client) -> bool:
    try:
        who.whoami()
    except PersonBanned:
        return True
    return False


def test_a_banned_person_is_refused_and_the_jobs_are_held_and_killed_until_it_is_lifted(
    town: Town,
) -> None:
    central, beacons = town.central, town.beacons
    central.pilot("PIC", cores=2)
    ada, bob = town.person("ada"), town.person("bob")
    running, his = run(town, ada), run(town, bob)
    waiting = ada.submit([NOWHERE] * 20).handles()
    held_before = ada.submit([NOWHERE] * 2).handles()
    for job in held_before:
        job.hold("not yet")

    said = json.loads(central.type("ban", "ada", "--reason", "stolen token", "--json"))
    asked_at = time.monotonic()
    with pytest.raises(PersonBanned) as refused:
        ada.job(running.id).view()
    by_command = central.type("bans")
    ends = central.client.job(running.id).wait(60.0)
    eventually(lambda: town.states("ada")[S.HELD] == 22, what="all jobs held")

    assert refused.value.code == "banned"
    assert "'ada' has been banned from this central since" in refused.value.message
    assert "(stolen token): ask 'admin', who set the ban" in refused.value.message
    assert (ends.state, ends.reason) == (S.KILLED, reason_of(said["ban"]))
    assert beacons.of(running.id)[-1].last - asked_at < 2 * BEAT_S
    assert central.client.job(waiting[0].id).view().reason == reason_of(said["ban"])
    assert "stolen token" in by_command
    assert "ada" in by_command
    assert bob.job(his.id).state() is S.RUNNING

    told = central.type("unban", "ada")
    assert ada.whoami().subject == "ada"
    eventually(lambda: town.states("ada")[S.WAITING] == 20, what="the release")
    assert "ada is no longer banned" in told
    assert [job.view().reason for job in held_before] == ["not yet"] * 2
    assert town.states("ada") == {S.WAITING: 20, S.HELD: 2, S.KILLED: 1}
    assert central.type("bans") == "", "no bans"
    assert [one["event"] for one in central.events("person_banned", "person_unbanned")] == [
        "person_banned",
        "person_unbanned",
    ]


def reason_of(ban: dict[str, str]) -> str:
    return f"ban {ban['ban']}: its owner is banned since {ban['since']}"


def test_a_kill_9_in_the_middle_of_a_ban_or_of_its_end_is_continued_after_the_restart(
    town: Town,
) -> None:
    central, ada = town.central, town.person("ada")
    ada.submit([NOWHERE] * MANY)
    held_before = ada.submit([NOWHERE] * 3).handles()
    for job in held_before:
        job.hold("not yet")

    central.client.ban("ada")
    in_the_middle = dies_when(town, lambda states: states[S.HELD] > 3)
    central.restart()
    refused_at_once = is_refused(ada)
    eventually(lambda: town.states("ada") == {S.HELD: MANY + 3}, what="all jobs held")

    assert 3 < in_the_middle[S.HELD] < MANY
    assert refused_at_once

    central.client.unban("ada")
    in_the_middle = dies_when(town, lambda states: states[S.WAITING] > 0)
    central.restart()
    eventually(lambda: town.states("ada")[S.WAITING] == MANY, what="the release")

    assert 0 < in_the_middle[S.WAITING] < MANY
    assert town.states("ada") == {S.WAITING: MANY, S.HELD: 3}
    assert not is_refused(ada)


def dies_when(town: Town, is_so: Callable[[Counter[JobState]], bool]) -> Counter[JobState]:
    """Kill the central once its jobs are as wanted, and return how many the store has by state."""
    eventually(lambda: is_so(town.states("ada")), what="the middle")
    town.central.kill9()
    with closing(sqlite3.connect(town.central.data / "store.sqlite")) as store:
        rows: Iterable[tuple[str, int]] = store.execute(
            "SELECT state, count(*) FROM job GROUP BY state"
        )
        return Counter({JobState(state): count for state, count in rows})


def test_all_processes_refuse_within_two_seconds_whichever_made_the_ban(tmp_path: Path) -> None:
    if postgresql.missing():
        pytest.skip(postgresql.missing())
    with ExitStack() as stack:
        server = stack.enter_context(postgresql.started())
        server.sql("CREATE SCHEMA central")
        store = server.url(schema="central")
        options = {"store.url": store, "lease.lease_s": "15", "process.roles": "dispatch,agents"}
        central = stack.enter_context(running_central(tmp_path / "one", options))
        api = stack.enter_context(beside(central, "api", store))
        token = central.client.issue_token(TokenIssue(subject="ada", groups=("users",))).token
        at_api, at_leader = (
            stack.enter_context(Client(url, token, patience_s=30.0))
            for url in (api.url, central.url)
        )
        admins = {"api": stack.enter_context(api.client()), "leader": central.client}
        (job,) = at_api.submit([NOWHERE]).handles()
        for name, admin in admins.items():
            for person in (at_api, at_leader):
                assert person.whoami().subject == "ada", "both processes know the token"
            made = admin.ban("ada")
            began = time.monotonic()
            mine, other = (at_api, at_leader) if name == "api" else (at_leader, at_api)
            assert is_refused(mine), "the process that made the ban knows it at once"
            eventually(lambda: is_refused(other), what=f"a refusal, ban by {name}")  # noqa: B023
            took_s = time.monotonic() - began
            eventually(lambda: state_of(central, job.id) is S.HELD, what="the hold")
            status, answer, _ = asked(api.url, "GET", "/v1/jobs", token=token)
            lifted: BanView = admin.unban("ada")
            eventually(lambda: not is_refused(at_api) and not is_refused(at_leader), what="the end")
            eventually(lambda: state_of(central, job.id) is S.WAITING, what="the release")

            assert took_s < SOON_S
            assert (status, answer["code"]) == (403, "banned")
            assert lifted.ban == made.ban.ban


def state_of(central: RunningCentral, job: int) -> JobState:
    return central.client.job(job).state()
