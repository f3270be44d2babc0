"""One central and four sites: a machine, Slurm, HTCondor and ARC, all of them real.

Nobody starts a pilot here. While people's jobs run, one pilot is killed, one node is a black hole,
one site refuses pilots for a while and one dies: no job that fits is lost or runs to two results.
"""

import json
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from pilotage.central.client import Client
from pilotage.central.operate.demo.local_central import LocalCentral, local_central
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import LIVING, PilotState
from tests.acceptance.running import eventually
from tests.real_sites.sites import (
    BLACK_HOLE,
    IN_ALL,
    PILOTS_MAX,
    PLEDGES,
    SETTINGS,
    RealSites,
    real_sites,
)
from tests.real_sites.story import Outcome, Story, report
from tests.real_sites.work import Work, submit

JOBS, SECONDS = 1_000, 2.0  # that each takes
WITHIN_S = 300.0
SHARE_ERROR_MAX = 0.05
FAILURES_MAX = 60  # of the black hole: without protection it takes most jobs, one after another
LIVES = {PilotState.SUBMITTED, PilotState.WAITING, *LIVING}


@dataclass(frozen=True)
class Played:
    """The story is over; its central still runs."""

    outcome: Outcome
    work: Work
    sites: RealSites
    central: LocalCentral
    client: Client

    @property
    def told(self) -> str:
        """What may say why something did not happen."""
        elements = [str(one) for one in self.client.elements().elements]
        log = (self.central.data / "central.log").read_text()[-6_000:]
        happened = [f"{at_s:.1f} s {what}" for at_s, what in self.outcome.happened]
        return "\n".join([*happened, *report(self.outcome, self.work), *elements, log])


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Generator[Played]:
    folder = tmp_path_factory.mktemp("four")
    with ExitStack() as stack:
        sites = stack.enter_context(real_sites(folder))
        settings = {**SETTINGS, "factory.sites": str(sites.files)}
        central = stack.enter_context(local_central(folder / "data", settings))
        client = stack.enter_context(Client(data=central.data))
        tokens = [
            client.issue_token(TokenIssue(subject=name, groups=("users",))).token
            for name in ("ada", "bob")
        ]
        people = tuple(stack.enter_context(Client(central.url, token)) for token in tokens)
        sites.make_black_hole()
        work = submit(people, JOBS, SECONDS, sites.software, sites.tally)
        outcome = Story(sites, central, client, work).run(WITHIN_S)
        print("\n".join(report(outcome, work)))
        yield Played(outcome, work, sites, central, client)


def test_all_jobs_that_fit_are_done_once(played: Played) -> None:
    states = {one.id: one.state for one in played.outcome.jobs}
    done = {job for job, state in states.items() if state is JobState.DONE}
    lines = played.sites.lines()
    twice = lines.total() - len(lines)

    assert done == played.work.fits, played.told
    assert set(lines) == done
    assert twice <= sum(one.losses for one in played.outcome.jobs), "no attempt of them was lost"
    eventually(
        lambda: sum(one.done for one in played.client.accounts().lines) == JOBS,
        what="one account of each job",
    )


def test_the_rest_waits_and_the_reason_is_told(played: Played) -> None:
    states = {one.id: one.state for one in played.outcome.jobs}
    clauses = {
        kind: {one.clause for one in told.obstacles if one.excludes == told.offers}
        for kind, told in played.outcome.explained.items()
    }

    assert {states[job] for job in played.work.fits_not} == {JobState.WAITING}
    assert clauses["other platform"] == {"architecture"}
    assert clauses["too much memory"] == {"memory"}


def test_no_site_ever_has_more_pilots_than_allowed(played: Played) -> None:
    samples = played.outcome.samples
    known = {site: max(one.held[site] or 0 for one in samples) for site in PLEDGES}
    alive = {site: max(one.alive[site] for one in samples) for site in PLEDGES}

    assert all(alive.values()), f"pilots came to every site: {played.told}"
    for site, most in PILOTS_MAX.items():
        assert known[site] <= most, played.told
        assert alive[site] <= most, played.told
    assert max(one.slurm for one in samples) <= PILOTS_MAX["CSCS"], played.told
    fullest = max(samples, key=lambda one: sum(one.alive.values()))
    assert sum(fullest.alive.values()) <= IN_ALL, f"{fullest}\n{played.told}"


def test_sites_share_the_work_by_their_pledges(played: Played) -> None:
    error = played.outcome.share_error()
    shares = {
        site: (one.share_wanted or 0.0, one.share_had or 0.0)
        for site, one in played.outcome.told.items()
    }

    assert played.outcome.calm_s, played.told
    assert error <= SHARE_ERROR_MAX, f"{error:.3f}: {played.told}"
    assert set(shares) == set(PLEDGES)
    for wanted, had in shares.values():
        assert abs(had - wanted) <= SHARE_ERROR_MAX, f"by `site list`: {shares}"


def test_the_black_hole_gets_no_jobs(played: Played) -> None:
    failed = [one for one in played.outcome.jobs if one.failures]
    attempts = [one for job in failed for one in played.client.detail(job.id).attempts]
    log = (played.central.data / "central.log").read_text()
    suspended = [json.loads(line) for line in log.splitlines() if '"host_suspended"' in line]

    assert {one.host for one in attempts if one.exit_code} == {BLACK_HOLE}
    assert sum(one.failures for one in failed) <= FAILURES_MAX, played.told
    assert {(one["site"], one["host"]) for one in suspended} == {("CSCS", BLACK_HOLE)}
    assert [one.host for one in played.outcome.holes] == [BLACK_HOLE], "operators see it"


def test_troubles_are_told(played: Played) -> None:
    samples = played.outcome.samples

    assert any(one.troubles["CSCS"].startswith("submit: ") for one in samples), played.told
    assert any(one.troubles["PIC"] for one in samples), played.told
    assert any(one.losses for one in played.outcome.jobs), "the pilots that died held jobs"


def test_pilots_go_when_the_work_is_over_and_come_again(played: Played) -> None:
    def gone() -> bool:
        pilots = list(played.client.pilots(states=LIVES))
        return all(one.site == "PIC" for one in pilots) and not any(played.sites.pilots().values())

    eventually(gone, what="the end of all pilots")
    for ids in played.work.nowhere.values():
        notes = played.client.explain(ids[0]).notes

        assert any(note.startswith("no pilot comes: ") for note in notes), notes
    secret = played.central.data / "admin.token"
    jobs = played.client.submit(
        [
            Job(command=("true",), needs=(Need(sites=("CSCS",), wall_s=60),)),
            Job(
                command=("test", "!", "-e", str(secret)), needs=(Need(sites=("HOME",), wall_s=60),)
            ),
        ]
    )
    jobs.wait(WITHIN_S)
    views = list(jobs.views())
    troubles = {one.site: one.trouble for one in played.client.elements().elements}

    assert [one.state for one in views] == [JobState.DONE, JobState.DONE], played.told
    assert not troubles["CSCS"].startswith("submit: "), "it takes pilots again"
