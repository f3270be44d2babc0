"""Which attempts may ask for files and tokens, and what a process that stood still says."""

from types import SimpleNamespace
from typing import Any

import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.callers import AttemptCaller
from pilotage.central.jobs.attempt_callers import AttemptCallers
from pilotage.central.jobs.leases import LeasePhase
from pilotage.central.leadership import STAND_S, LeaderLease
from pilotage.proto.problems import Code

ATTEMPT = AttemptCaller(job=7, epoch=2, attempt_id=70, community="ctao")


def callers(*, now: float, phase: LeasePhase = LeasePhase.LIVE) -> AttemptCallers:
    """Return what knows epoch 2 of job 7, in a process that was granted the lead at 0 s."""
    lease = SimpleNamespace(attempt_id=70, phase=phase)
    found = {(7, 2): lease}
    memory: Any = SimpleNamespace(
        leases=SimpleNamespace(find=lambda job, epoch: found.get((job, epoch)))
    )
    leadership = LeaderLease(1, "http://here", lambda: now)
    leadership.granted(0.0)
    return AttemptCallers(memory, leadership)


@pytest.mark.parametrize(
    ("now", "code"), [(STAND_S - 1, Code.FORBIDDEN), (STAND_S + 1, Code.NOT_LEADER)]
)
@pytest.mark.parametrize("caller", [{"job": 8}, {"epoch": 3}, {"attempt_id": 71}])
def test_only_a_leader_says_that_an_attempt_is_over(
    now: float, code: Code, caller: dict[str, int]
) -> None:
    fields = {"job": 7, "epoch": 2, "attempt_id": 70, "community": "ctao", **caller}

    with pytest.raises(Refused) as why:
        callers(now=now).lease(AttemptCaller(**fields))  # type: ignore[arg-type]

    assert why.value.code == code


@pytest.mark.parametrize(
    ("now", "code"), [(STAND_S - 1, Code.FORBIDDEN), (STAND_S + 1, Code.NOT_LEADER)]
)
def test_only_a_leader_says_that_an_attempt_runs_no_more(now: float, code: Code) -> None:
    known = callers(now=now, phase=LeasePhase.OPEN)

    assert known.lease(ATTEMPT).attempt_id == 70
    with pytest.raises(Refused) as why:
        known.live_lease(ATTEMPT)
    assert why.value.code == code


def test_a_known_attempt_may_call_although_another_may_lead() -> None:
    assert callers(now=STAND_S + 1).live_lease(ATTEMPT).attempt_id == 70
