"""The policy table, read as a person reads it."""

import pytest

from pilotage.central.identity.callers import Anonymous, AttemptCaller, Caller, PilotCaller
from pilotage.central.identity.errors import Forbidden, NoToken
from pilotage.central.identity.policy import (
    PHRASES,
    TABLE,
    CallerKind,
    Permission,
    Reach,
    covers,
    reach,
    require,
    who,
)
from pilotage.proto.claims import Role

from .issuer import person

PILOT = PilotCaller(pilot="p", community="ctao", site="PIC", element="e")
ATTEMPT = AttemptCaller(job=1, epoch=1, attempt_id=1, community="ctao")


def test_the_table_is_whole() -> None:
    assert set(TABLE) == {(one, action) for one in CallerKind for action in Permission}


def test_every_role_is_a_column() -> None:
    assert {role.value for role in Role} <= {one.value for one in CallerKind}
    assert [who(one) for one in (Anonymous(), PILOT, ATTEMPT, person(Role.ADMIN))] == [
        CallerKind.ANONYMOUS,
        CallerKind.PILOT,
        CallerKind.ATTEMPT,
        CallerKind.ADMIN,
    ]


#    caller                                        action              reach
REACHES: list[tuple[Caller, Permission, Reach]] = [
    (person(Role.USER), Permission.JOB_READ, Reach.OWN),
    (person(Role.READER), Permission.JOB_READ, Reach.COMMUNITY),
    (person(Role.READER, community=""), Permission.JOB_READ, Reach.ALL),
    (person(Role.MANAGER), Permission.JOB_CONTROL, Reach.COMMUNITY),
    (person(Role.MANAGER, groups=("mc",)), Permission.JOB_CONTROL, Reach.GROUP),
    (
        person(Role.OPERATOR),
        Permission.JOB_CONTROL,
        Reach.COMMUNITY,
    ),  # an operator of one community
    (person(Role.OPERATOR, community=""), Permission.JOB_CONTROL, Reach.ALL),
    (person(Role.ADMIN, community=""), Permission.TOKEN_ISSUE, Reach.ALL),
    (person(Role.USER, community=""), Permission.JOB_READ, Reach.OWN),
    (PILOT, Permission.PILOT_WORK, Reach.OWN),
    (PILOT, Permission.BLOB_READ, Reach.NONE),
    (ATTEMPT, Permission.PILOT_WORK, Reach.NONE),
    (ATTEMPT, Permission.BLOB_WRITE, Reach.OWN),
    (Anonymous(), Permission.JOB_READ, Reach.NONE),
]


@pytest.mark.parametrize(("caller", "action", "right"), REACHES)
def test_a_token_narrows_what_its_role_reaches(
    caller: Caller, action: Permission, right: Reach
) -> None:
    assert reach(caller, action) is right


def test_a_refusal_names_the_right_and_who_has_it() -> None:
    with pytest.raises(
        Forbidden, match="your role .reader. may not control jobs .job_control.; user, manager"
    ):
        require(person(Role.READER), Permission.JOB_CONTROL)
    with pytest.raises(NoToken):
        require(Anonymous(), Permission.JOB_CONTROL)


def test_every_action_has_a_phrase_for_its_refusal() -> None:
    assert set(PHRASES) == set(Permission)


def test_only_an_admin_covers_all_roles() -> None:
    covered = {giver.value: {r.value for r in Role if covers(giver, r)} for giver in Role}

    assert covered == {
        "reader": {"reader"},
        "user": {"user"},
        "manager": {"user", "manager"},
        "operator": {"reader", "user", "operator"},
        "admin": {"reader", "user", "manager", "operator", "admin"},
    }


def test_pilots_and_attempts_reach_nothing_of_people() -> None:
    of_people = [a for a in Permission if a.value.startswith(("job_", "token_", "pilot_read"))]

    assert {TABLE[one, a] for one in (CallerKind.PILOT, CallerKind.ATTEMPT) for a in of_people} == {
        Reach.NONE
    }
