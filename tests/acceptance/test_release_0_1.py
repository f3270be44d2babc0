"""What release 0.1 has stored and started goes on with the code of today.

To test one more thing of an upgrade, add a test that takes `upgraded`: a central that has opened a
store of 0.1, of each kind, and what 0.1 said of that store.
"""

import sqlite3
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import httpx
import msgspec
import pytest

from pilotage.central.client import Client
from pilotage.central.operate import local_pilots as starting
from pilotage.central.operate.datadir import STORE_FILE
from pilotage.proto.api.accounts import AccountsBy
from pilotage.proto.api.jobs import JobFilter, JobView
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import (
    Answer,
    Attempt,
    Beat,
    BeatAnswer,
    How,
    Report,
    TokenReply,
    TokenRequest,
    Turn,
    TurnReply,
    Usage,
    What,
)
from tests.data import release
from tests.data.release import Facts, Held, HeldPilot
from tests.data.story import at
from tests.services import postgresql
from tests.side_by_side import REGISTER

from .running import ROOT, RunningCentral, eventually, running_central

RELEASE: Final = ROOT / "tests" / "data" / "release-0.1"
# Whatever day it is: nothing goes because it is old, and no lease is over while a test runs.
UNHURRIED: Final = {
    "retention.done_days": "0",
    "retention.failed_days": "0",
    "retention.killed_days": "0",
    "retention.deleted_days": "0",
    "retention.pilot_days": "0",
    "retention.token_days": "0",
    "lease.lease_s": "600",
}
ENDS: Final = {  # what is wanted of an attempt → where its job is when it ends
    "": JobState.DONE,
    "kill": JobState.KILLED,
    "hold": JobState.HELD,
    "reschedule": JobState.WAITING,
}


@dataclass
class Upgraded:
    """A central of today on a store of 0.1."""

    central: RunningCentral
    facts: Facts
    stack: ExitStack
    found: dict[int, JobView] = field(default_factory=dict[int, JobView])  # just after the start

    def __post_init__(self) -> None:
        every = JobFilter(include_deleted=True)
        for who in ("olga", "omar"):
            self.found |= {one.id: one for one in self.person(who).search(every)}

    def person(self, who: str) -> Client:
        return self.stack.enter_context(self.central.client_of(self.facts.tokens[who]))

    def of_community(self, community: str) -> Client:
        return self.person({"ctao": "olga", "lst": "omar"}[community])


@pytest.fixture(scope="module", params=release.KINDS)
def upgraded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Upgraded]:
    """A central that has opened what 0.1 left; its tests each look at jobs of their own."""
    folder = tmp_path_factory.mktemp(request.param)
    facts = release.unpack(RELEASE, request.param, folder)
    settings = {**release.SETTINGS, **UNHURRIED}
    with ExitStack() as stack:
        if request.param == "postgresql":
            if postgresql.missing():
                pytest.skip(postgresql.missing())
            server = stack.enter_context(postgresql.started())
            settings["store.url"] = release.load_database(RELEASE, server)
            facts = release.last(facts, folder / "central", server.sql, f"{release.SCHEMA}.token")
        else:
            with closing(sqlite3.connect(folder / "central" / STORE_FILE)) as store, store:
                facts = release.last(facts, folder / "central", store.execute, "token")
        central = stack.enter_context(running_central(folder, settings))
        yield Upgraded(central, facts, stack)


class OldPilot:
    """A pilot of 0.1 that goes on: it has its journal, and its token may be too old."""

    def __init__(self, central: RunningCentral, kept: HeldPilot) -> None:
        self._url, self.kept = central.url, kept
        asked = TokenRequest(kept.pilot, kept.renewal_secret)
        renewed: TokenReply = self._say("/v1/pilots/token", asked, TokenReply, token="")
        self._token = renewed.token

    def beat(self) -> BeatAnswer:
        kept = self.kept
        holding = tuple(Attempt(one.job, one.epoch) for one in kept.held)
        said = Beat(kept.gen, kept.session, 1_000, closed=kept.asks, holding=holding)
        answer: BeatAnswer = self._say("/v1/beat", said, BeatAnswer)
        return answer

    def end(self, one: Held) -> Answer:
        """Report that an attempt ended: as it was told to, or well."""
        how = How.KILLED if one.wanted else How.EXITED
        report = Report(
            *(one.job, one.epoch, one.attempt_id, 9, What.ENDED),
            how=how,
            exit_code=None if one.wanted else 0,
            usage=Usage(wall_s=60.0, cpu_s=50.0),
        )
        said = Turn(self.kept.gen, self.kept.session, (report,))
        reply: TurnReply = self._say("/v1/turn", said, TurnReply)
        return reply.reports[0].answer

    def _say(self, path: str, message: Any, kind: type[Any], token: str | None = None) -> Any:
        token = self._token if token is None else token
        headers = {"authorization": f"Bearer {token}"} if token else {}
        headers["content-type"] = "application/json"
        with httpx.Client(trust_env=False, timeout=30) as http:
            body = msgspec.json.encode(message)
            reply = http.post(f"{self._url}{path}", content=body, headers=headers)
        assert reply.status_code == 200, reply.text
        return msgspec.json.decode(reply.content, type=kind)


def same(now: Any, then: dict[str, Any]) -> None:
    """See that a message says all that it said in 0.1; it may say more."""
    found = msgspec.json.decode(msgspec.json.encode(now))
    assert _as_before(found, then) == then


def _as_before(now: Any, then: Any) -> Any:
    """Return a value without the fields that 0.1 did not have, however deep they lie."""
    unchanged: Any = now
    if isinstance(now, dict) and isinstance(then, dict):
        fields = cast("dict[str, Any]", now), cast("dict[str, Any]", then)
        return {name: _as_before(fields[0].get(name), old) for name, old in fields[1].items()}
    if isinstance(now, list) and isinstance(then, list):
        ours, theirs = cast("list[object]", now), cast("list[object]", then)
        if len(ours) == len(theirs):
            return [_as_before(*pair) for pair in zip(ours, theirs, strict=True)]
    return unchanged


def test_all_jobs_are_there_as_they_were(upgraded: Upgraded) -> None:
    facts = upgraded.facts

    assert {str(job) for job in upgraded.found} == set(facts.jobs)
    for job, view in upgraded.found.items():
        same(view, facts.jobs[str(job)])
    assert {one["state"] for one in facts.jobs.values()} == {
        *("Waiting", "Matched", "Running", "Held", "Done", "Failed", "Killed")
    }
    deleted = {job for job, view in upgraded.found.items() if "deleted" in view.marks}
    assert deleted == set(facts.deleted)


def test_what_they_ran_how_they_went_and_what_they_left_can_be_read(upgraded: Upgraded) -> None:
    maria, facts = upgraded.person("maria"), upgraded.facts
    for job, view in upgraded.found.items():
        reader = upgraded.of_community(view.community)
        events = [one.event for one in reader.history(job).occurrences]
        detail = reader.detail(job)

        assert events[: len(facts.histories[str(job)])] == facts.histories[str(job)]
        assert detail.job is not None and detail.job.command
    for id, outputs in facts.outputs.items():
        found = {one.name: one.sha256 for one in maria.outputs(int(id)).outputs}
        assert found == outputs
    some = next(id for id, outputs in facts.outputs.items() if "number.txt" in outputs)
    file = maria.download(int(some), "number.txt", upgraded.central.folder)
    assert file.read_text() == f"{some}\n"


def test_pilots_transformations_productions_and_files_are_as_they_were(
    upgraded: Upgraded,
) -> None:
    olga, omar, maria = map(upgraded.person, ("olga", "omar", "maria"))
    facts = upgraded.facts
    pilots = {one.id: one.state.value for who in (olga, omar) for one in who.pilots()}
    gone = {id for id, state in facts.pilots.items() if state in ("Done", "Failed", "Aborted")}

    assert set(pilots) >= set(facts.pilots)
    assert {id: pilots[id] for id in gone} == {id: facts.pilots[id] for id in gone}
    for found, then in (
        ({one.name: one for one in maria.transformations()}, facts.transformations),
        ({one.name: one for one in maria.productions()}, facts.productions),
        ({one.did: one for one in maria.find_files({})}, facts.files),
    ):
        assert set(found) == set(then)
        for name, one in found.items():
            same(one, then[name])
    assert [one.did for one in maria.datasets()] == facts.datasets
    assert [one.id for one in olga.rules()] == [one["id"] for one in facts.rules]
    assert [one.name for one in olga.storages().storages] == facts.storages
    sites = {one.key: one for one in olga.accounts(by=AccountsBy.SITE).lines}
    for line in facts.accounts:
        assert sites[line["key"]].done >= line["done"], line


def test_tokens_and_keys_of_submissions_are_known(upgraded: Upgraded) -> None:
    maria, facts = upgraded.person("maria"), upgraded.facts
    (first, count) = facts.keys["runs"]
    again = maria.submit([at("RUNS", retries=1)] * count, key="runs", name="runs")
    revoked = upgraded.stack.enter_context(upgraded.central.client_of(facts.revoked))

    assert again.repeated and list(again.ids()) == list(range(first, first + count))
    assert maria.whoami().subject == "maria"
    with pytest.raises(Exception, match="this token is not valid here"):
        revoked.whoami()


def test_open_attempts_have_a_lease_and_their_results_count(upgraded: Upgraded) -> None:
    facts = upgraded.facts
    held = [(OldPilot(upgraded.central, one), one) for one in facts.holders]
    for pilot, kept in held:
        answer = pilot.beat()

        assert not answer.stale and not answer.old_session and not answer.other_store
        wanted = {(stop.job, stop.why.value) for stop in answer.stop}
        assert wanted == {(one.job, one.wanted) for one in kept.held if one.wanted}
        for one in kept.held:
            assert pilot.end(one) is Answer.OK
            assert pilot.end(one) is Answer.ALREADY
            reader = upgraded.of_community(facts.jobs[str(one.job)]["community"])
            assert reader.job(one.job).state() is ENDS[one.wanted], one


def test_jobs_that_wait_run_on_a_pilot_of_0_1(
    upgraded: Upgraded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = release.unpack_pilot(RELEASE, tmp_path)
    monkeypatch.setattr(starting, "pilot_bundle", lambda: old)
    monkeypatch.delenv(REGISTER, raising=False)
    olga, central = upgraded.person("olga"), upgraded.central
    wait = [
        job
        for job, view in upgraded.found.items()
        if view.community == "ctao" and view.state is JobState.WAITING and fits(olga, job, "HERE")
    ]
    central.client = olga  # who makes its secret
    pilot = central.pilot("HERE", cores=8, memory_mb=16_000, overcommit=False)
    eventually(lambda: all(olga.job(job).state() is JobState.DONE for job in wait), what="all Done")

    assert len(wait) > 10
    assert str(old) in cast("list[str]", pilot.process.args)


def fits(reader: Client, job: int, site: str) -> bool:
    """Say whether a job may run at a site, by what it asks for first."""
    asked = reader.detail(job).job
    return asked is not None and site in asked.needs[0].sites
