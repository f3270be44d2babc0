"""What a ban changes in a job, by its state."""

from typing import Any

import msgspec
import pytest

from pilotage.central.dispatch.banned_jobs import barred, is_held_by, reason_of, released
from pilotage.central.identity.bans.record import BanRow
from pilotage.central.jobs.intents import Unchanged
from pilotage.central.jobs.record_types import AttemptWant, JobMove
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Why
from pilotage.proto.state_machine import IllegalTransition
from tests.builders import a_standing

S = JobState
BAN = BanRow(ban_id=3, issuer="local", subject="ada", who="oscar", reason="secret", at=1_000.0)


def result(what: JobMove | AttemptWant | Unchanged) -> str:
    """Return what happens to a job in words."""
    match what:
        case JobMove():
            return f"{what.new.value}, {'closed' if what.close else 'open'}"
        case AttemptWant():
            return f"wants {what.wanted.value}"
        case Unchanged():
            return "unchanged"


#    state, live, wanted                    banned                released
TABLE: list[tuple[JobState, bool, Why | None, str, str]] = [
    (S.WAITING, False, None, "Held, closed", "unchanged"),
    (S.MATCHED, True, None, "wants kill", "unchanged"),
    (S.RUNNING, True, None, "wants kill", "unchanged"),
    (S.RUNNING, True, Why.HOLD, "wants kill", "unchanged"),
    (S.RUNNING, True, Why.RESCHEDULE, "wants kill", "unchanged"),
    (S.RUNNING, True, Why.KILL, "unchanged", "unchanged"),
    (S.HELD, False, None, "unchanged", "Waiting, closed"),
    (S.COMPLETING, False, None, "refused", "unchanged"),
    (S.DONE, False, None, "refused", "unchanged"),
    (S.FAILED, False, None, "refused", "unchanged"),
    (S.KILLED, False, None, "refused", "unchanged"),
]


@pytest.mark.parametrize(("state", "live", "wanted", "banned", "lifted"), TABLE, ids=str)
def test_the_state_decides(
    state: JobState, live: bool, wanted: Why | None, banned: str, lifted: str
) -> None:
    job = a_standing(state=state, live=live, wanted=wanted)
    try:
        found = result(barred(job, at=1.0, reason=reason_of(BAN)))
    except IllegalTransition:
        found = "refused"

    assert found == banned
    assert result(released(job, at=1.0, reason="")) == lifted


def test_a_deleted_job_stays_as_it_is() -> None:
    job = msgspec.structs.replace(a_standing(state=S.KILLED), deleted=True)

    assert isinstance(barred(job, at=1.0, reason=""), Unchanged)


def test_the_central_does_it_for_a_reason_that_names_the_ban_and_not_why_it_was_set() -> None:
    held = barred(a_standing(), at=7.0, reason=reason_of(BAN))
    killed = barred(a_standing(state=S.RUNNING, live=True), at=7.0, reason=reason_of(BAN))
    told: list[Any] = [(one.who, one.at, one.reason) for one in (held, killed)]  # type: ignore[union-attr]

    why = "ban 3: its owner is banned since 1970-01-01T00:16:40.000Z"
    assert told == [("central", 7.0, why)] * 2


#    reason of a held job                          held by ban 3
REASONS = [
    (reason_of(BAN), True),
    (reason_of(msgspec.structs.replace(BAN, at=2_000.0)), True),  # it was set again
    (reason_of(msgspec.structs.replace(BAN, ban_id=30)), False),
    (reason_of(msgspec.structs.replace(BAN, ban_id=13)), False),
    ("", False),
    ("not yet", False),
    ("lost_too_often: 3 attempts were lost", False),
]


@pytest.mark.parametrize(("reason", "right"), REASONS, ids=str)
def test_a_ban_releases_only_what_it_held(reason: str, right: bool) -> None:
    assert is_held_by(BAN, reason) is right
