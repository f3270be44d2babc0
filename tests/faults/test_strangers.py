"""Late words of strangers and zombies: kept as evidence or refused by name, and never counted.

Each word gets an answer that ends its repetition. One central serves all stories.
"""

import sqlite3
from collections.abc import Generator

import pytest

from pilotage.central.client.errors import KeyReused
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Attempt
from tests.acceptance.running import RunningCentral, eventually, running_central

from .campaign import unforeseen
from .zombies import Zombie

OPTIONS = {
    "lease.lease_s": "3",
    "retention.round_s": "1",
    "retention.killed_days": "0.00002",  # two seconds
    "retention.done_days": "1",
}


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningCentral]:
    with running_central(tmp_path_factory.mktemp("strangers"), OPTIONS) as central:
        yield central

        assert unforeseen(central.log) == []
        assert central.events("refused", "library", "loop_failed") == []


def a_job_for(central: RunningCentral, site: str) -> int:
    job = Job(command=("true",), needs=(Need(sites=(site,), wall_s=600),))
    (job_id,) = central.client.submit(job).ids()
    return job_id


def evidence(central: RunningCentral, job: int) -> int:
    """Return how many reports of a job were kept that do not count."""
    connection = sqlite3.connect(f"file:{central.data / 'store.sqlite'}?mode=ro", uri=True)
    found: int = connection.execute(
        "SELECT count(*) FROM evidence WHERE job_id = ?", (job,)
    ).fetchone()[0]
    connection.close()
    return found


def exits(central: RunningCentral, job: int) -> int:
    return [one.event for one in central.client.history(job).occurrences].count("exited")


def test_a_zombie_tells_its_result_when_another_pilot_has_the_job(central: RunningCentral) -> None:
    job = a_job_for(central, "ONE")
    zombie, heir = (Zombie(central.url, central.client, "ONE") for _ in range(2))
    held = zombie.given()
    zombie.started(held)
    eventually(
        lambda: central.client.job(job).view().state is JobState.WAITING,
        what="the end of its lease",
    )
    heirs = heir.given()

    assert (heirs.job, heirs.epoch) == (job, 2)
    assert zombie.ended(held) == "stale"
    assert heir.ended(heirs) == "ok"
    assert (zombie.ended(held), zombie.ended(held, n=9)) == ("stale", "stale")
    assert (evidence(central, job) > 0, exits(central, job)) == (True, 1)
    assert heir.ended(heirs) == "already"


def test_a_result_of_a_killed_job_does_not_count(central: RunningCentral) -> None:
    job = a_job_for(central, "TWO")
    zombie = Zombie(central.url, central.client, "TWO")
    held = zombie.given()
    zombie.started(held)
    central.client.kill([job])

    assert zombie.ended(held) == "ok", "it is told, and closes the attempt; it counts for nothing"
    assert zombie.ended(held) in ("already", "stale")
    view = central.client.job(job).view()
    assert (view.state, view.exit_code) == (JobState.KILLED, None)


def test_a_result_of_a_job_that_was_deleted_and_of_one_that_is_gone(
    central: RunningCentral,
) -> None:
    deleted, gone = a_job_for(central, "THREE"), a_job_for(central, "FOUR")
    zombies = [Zombie(central.url, central.client, site) for site in ("THREE", "FOUR")]
    held = [one.given() for one in zombies]
    for zombie, attempt in zip(zombies, held, strict=True):
        zombie.started(attempt)
    central.client.kill([deleted, gone])
    eventually(
        lambda: (
            {central.client.job(job).view().state for job in (deleted, gone)} == {JobState.KILLED}
        ),
        what="the end of both leases",
    )
    central.client.delete([deleted])

    assert zombies[0].ended(held[0]) == "stale"
    eventually(lambda: gone not in {view.id for view in central.client.search()}, what="pruning")
    assert zombies[1].ended(held[1]) == "stale"
    assert evidence(central, gone) == 1


def test_a_beat_of_a_stranger_renews_nothing(central: RunningCentral) -> None:
    job = a_job_for(central, "FIVE")
    holder, stranger = (Zombie(central.url, central.client, "FIVE") for _ in range(2))
    held = holder.given()
    wanted = [Attempt(job, held.epoch), Attempt(job, 7), Attempt(123_456_789, 1)]
    answer = stranger.beat(wanted)

    assert [one["epoch"] for one in answer["stale"]] == [held.epoch, 7, 1]
    assert (
        "stale" not in holder.beat([Attempt(job, held.epoch)])
        or holder.beat([Attempt(job, held.epoch)])["stale"] == []
    )
    assert holder.ended(held) == "ok"


def test_a_pilot_that_has_said_good_bye_or_waits_in_another_store_is_told_to_end(
    central: RunningCentral,
) -> None:
    late = Zombie(central.url, central.client, "SIX")
    job = a_job_for(central, "SIX")
    held = late.given()
    late.beat(goodbye=True)
    answer = late.beat([Attempt(job, held.epoch)])

    assert answer["code"] == "old_session"
    assert late.ended(held) == "old_session"
    other = Zombie(central.url, central.client, "SEVEN")
    object.__setattr__(other.me, "gen", "of another time line")
    assert other.beat()["code"] == "other_store"
    assert other.ended(held) == "other_store"


def test_the_same_key_with_another_body_is_refused_by_name(central: RunningCentral) -> None:
    first = list(central.client.submit([Job(command=("true",))] * 2, key="mine").ids())
    with pytest.raises(KeyReused, match="mine"):
        central.client.submit([Job(command=("false",))], key="mine")

    assert list(central.client.submit([Job(command=("true",))] * 2, key="mine").ids()) == first
