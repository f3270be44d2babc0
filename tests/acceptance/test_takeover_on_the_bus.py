"""A leader that has lost its lease and not its broker: it answers no beat, keeps no lease alive.

Beside the load of `takeovers.py` some pilots hold a job each and beat over a real mosquitto, many
times a second, through all that happens.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pilotage.central.client import Client
from pilotage.central.leadership import STAND_S
from pilotage.central.operate.start_failures import EXIT_BROKEN
from pilotage.proto.api.pilots import SecretRequest
from tests.services import mosquitto, postgresql

from .beaters import Beater
from .brokers import started_broker
from .running import eventually
from .standbys import the_leader
from .takeovers import TAKES_S, Story, story

BEATERS = 3
LATE_S = 0.5  # what an answer may take from the leader's look at its lease to the pilot's thread


@pytest.fixture
def server() -> Iterator[postgresql.Postgresql]:
    if missing := postgresql.missing() or mosquitto.missing():
        pytest.skip(missing)
    with postgresql.started("shared_buffers=16MB") as running:
        running.sql("CREATE SCHEMA central")
        yield running


@contextmanager
def beating(told: Story) -> Generator[list[Beater]]:
    """Let pilots hold jobs and beat; at the end they let go of them."""
    with Client(the_leader(told.alive).url, told.token) as client:
        made = client.secrets(SecretRequest(site="PIC", count=BEATERS)).secrets
    urls = [one.url for one in told.members]
    beaters = [Beater(urls, one.secret, told.ran, told.stop) for one in made]
    for one in beaters:
        one.start()
    eventually(lambda: all(one.answers for one in beaters), what="answers over the bus")
    try:
        yield beaters
    finally:
        for one in beaters:
            one.let_go()
        for one in beaters:
            one.join(30)


def test_a_leader_without_its_lease_answers_nothing_over_the_broker_that_it_still_has(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    with (
        started_broker(tmp_path / "broker") as (_, settings),
        story(tmp_path, server, settings) as told,
    ):
        with beating(told) as beaters:
            cut = the_leader(told.alive)
            name = cut.name.partition("-")[0]
            told.ways[name].cut()
            cut_at = time.monotonic()
            cut_code = cut.process.wait(30)
            cut_took_s = told.next_match_s(cut_at, cut.term)
            told.ways[name].heal()
            stale = the_leader(told.alive)
            eventually(lambda: all(one.of_term(stale.term) for one in beaters), what="answers")
            again = told.start(name)
            for one in (*told.runners, *beaters):
                one.add(again.url)

            told.stand_still(stale)
            stopped_at = time.monotonic()
            time.sleep(STAND_S + 0.1)  # nobody else leads yet, and has pushed it off the broker
            went_on_at = time.monotonic()
            stale.go_on()  # the beats of all that time lie before it
            stale_code = stale.process.wait(30)
            stale_took_s = told.next_match_s(stopped_at, stale.term)
            eventually(lambda: all(one.of_term(again.term) for one in beaters), what="answers")
        told.finish(server)

    assert [one.failed for one in beaters] == [""] * BEATERS
    assert (cut_code, stale_code) == (EXIT_BROKEN, EXIT_BROKEN)
    assert cut_took_s < TAKES_S and stale_took_s < TAKES_S
    for one in beaters:
        assert not any(answer.is_stale for answer in one.answers), "its job was never another's"
        assert {answer.term for answer in one.answers} == {cut.term, stale.term, again.term}
        # It still has the broker, and answers for as long as it may: no longer.
        by_cut, by_stale, by_last = map(one.of_term, (cut.term, stale.term, again.term))
        assert cut_at + 1.0 < max(answer.heard for answer in by_cut) < cut_at + STAND_S + LATE_S
        assert max(answer.heard for answer in by_stale) < stopped_at + LATE_S
        # … nor do two answer at once, not even to beats that were said before.
        assert max(answer.heard for answer in by_cut) < min(answer.heard for answer in by_stale)
        assert max(answer.heard for answer in by_stale) < min(answer.heard for answer in by_last)
        unanswered = [at for at in one.sent.values() if stopped_at < at < went_on_at]
        assert len(unanswered) > 10, "there were beats that it could have answered"
