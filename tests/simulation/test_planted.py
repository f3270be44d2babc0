"""The tester is tested: each planted bug is found within 500 worlds."""

import pytest

from .campaign import campaign
from .planted import PLANTED
from .planted_leaders import OF_THE_MODEL

WITHIN = 500
# A seed that has found each one. Where a change of the product has moved the draws, the worlds
# from 1 on are searched, as `make long` always does.
SEEDS = {
    "retry_counts": 14,
    "no_ask_key": 6,
    "one_last_ack": 14,
    "give_back_unheld": 27,
    "will_is_death": 3,
    "resched_now": 34,
    "bind_at_wake": 48,
    "grace_30": 3,
    "no_guard": 32,
    "monotonic": 36,
    "no_ask_again": 119,
    "bus_stop_only": 97,
    "old_deadline": 10,
    "forget_on_fail": 4,
    "late_start": 6,
    "kill_final_now": 5,
    "ack_before_sync": 223,
    "no_epoch_check": 3,
    "no_key": 2,
    "lease_from_first_beat": 4,
    "limits_from_waiting": 1,
    "class_forgotten": 9,
    "free_memory": 4,
    "beat_while_settling": 31,
    "same_session": 7,
    "no_action_key": 43,
    "drain_forgotten": 68,
    "late_hello": 5,
    "no_nonce_history": 76,
    "nonce_unkept": 254,
    "replay_requeues_now": 55,
    "unread_is_done": 3,
    "ends_unheard": 70,
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str) -> None:
    if bug in SEEDS and campaign(SEEDS[bug], 1, planted=bug, processes=1).violations:
        return
    found = campaign(1, WITHIN, planted=bug, stop=True)

    assert found.violations, f"{WITHIN} worlds do not show that {PLANTED[bug].says}"


@pytest.mark.long
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_anew(bug: str) -> None:
    found = campaign(1, WITHIN, planted=bug, stop=True)

    assert found.violations, f"{WITHIN} worlds do not show that {PLANTED[bug].says}"
    print(f"{bug}: world {min(found.violations)}, {found.cpu_s:.0f} s of CPU")


def test_a_planted_bug_is_gone_afterwards() -> None:
    for bug in PLANTED.values():
        with bug.planted():
            pass

    assert not campaign(1, 2, processes=1).violations


def test_every_variant_of_the_model_that_one_leader_allows_is_planted() -> None:
    assert PLANTED.keys() >= OF_THE_MODEL - {"stale_acks"}
