"""Two centrals on one database: 100 worlds in the gate, 30 000 in `make long`, and planted bugs."""

import pytest

from . import seeds
from .campaign import campaign, replay
from .cluster import Cluster
from .planted_leaders import LEADING, OF_THE_MODEL, WITH_LEADERS
from .world import run

SEEDS = 100
LONG_FIRST, LONG_SEEDS = 10_000, 30_000
WITHIN = 500
# A seed that has found each one; see `test_planted.py`.
FOUND = {
    "retry_counts": 303,
    "no_ask_key": 6,
    "no_fence": 24,
    "takes_early": 1,
    "from_the_answer": 210,
    "sleeping_clock": 24,
    "old_terms": 49,
    "late_start": 37,
    "kill_final_now": 7,
    "bus_stop_only": 73,
    "no_ask_again": 4,
    "fence_apart": 3,
    "no_guard": 84,
    "old_deadline": 2,
    "give_back_unheld": 84,
    "will_is_death": 25,
    "resched_now": 17,
    "stale_acks": 186,
    "forget_on_fail": 63,
    "one_last_ack": 94,
    "monotonic": 260,
    "grace_30": 18,
    "bind_at_wake": 218,
    "files_stay": 8,
    "late_moment": 6,
}


@pytest.mark.parametrize("start", seeds.starts(SEEDS))
def test_worlds_of_two_leaders_keep_the_promises(start: int) -> None:
    found = campaign(seeds.first() + start, seeds.A_CASE, leaders=True, processes=1)

    assert not found.violations, _told(found.violations)
    assert found.take_overs > 3 * seeds.A_CASE, "the lead hardly ever changed"


@pytest.mark.long
def test_thirty_thousand_worlds_of_two_leaders_keep_the_promises() -> None:
    found = campaign(LONG_FIRST, LONG_SEEDS, leaders=True)

    assert not found.violations, _told(found.violations)


@pytest.mark.parametrize(("seed", "has_api"), [(3, False), (2, True)])
def test_the_same_seed_gives_the_same_trace(seed: int, has_api: bool) -> None:
    one, other = run(seed, leaders=True), run(seed, leaders=True)

    assert one.has_api is has_api
    assert one.trace == other.trace
    assert one.steps == other.steps > 1_000
    assert any("leads, term 2" in line for line in one.trace)


def test_people_submit_and_act_through_an_api_process() -> None:
    cluster = run(2, leaders=True).central

    assert isinstance(cluster, Cluster)
    assert cluster.api is not None
    assert {"submitted", "leader_found"} <= {event for event, _ in cluster.api.log}
    assert cluster.api.front.face.requests["/v1/jobs/actions", 200]


@pytest.mark.parametrize("bug", FOUND)
def test_a_planted_bug_is_found(bug: str) -> None:
    if campaign(FOUND[bug], 1, planted=bug, leaders=True, processes=1).violations:
        return
    _is_found(bug)


@pytest.mark.long
@pytest.mark.parametrize("bug", WITH_LEADERS)
def test_a_planted_bug_is_found_anew(bug: str) -> None:
    _is_found(bug)


def test_a_planted_bug_is_gone_afterwards() -> None:
    for bug in LEADING.values():
        with bug.planted():
            pass

    assert not campaign(1, 2, leaders=True, processes=1).violations


def test_every_variant_of_the_model_is_planted() -> None:
    assert WITH_LEADERS.keys() == {*OF_THE_MODEL, *LEADING}


def _is_found(bug: str) -> None:
    found = campaign(1, WITHIN, planted=bug, leaders=True, stop=True)

    assert found.violations, f"{WITHIN} worlds do not show that {WITH_LEADERS[bug].says}"
    print(f"{bug}: world {min(found.violations)}, {found.cpu_s:.0f} s of CPU")


def _told(violations: dict[int, str]) -> str:
    return "\n".join(
        f"seed {seed}: {why}\n  {replay(seed, leaders=True)}" for seed, why in violations.items()
    )
