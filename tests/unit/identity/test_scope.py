"""Which jobs a token reaches: by role, groups and, for a user, whose they are."""

import pytest

from pilotage.central.identity.policy import Permission
from pilotage.central.identity.scope import CountKey, Owners, scope
from pilotage.central.jobs.queries import search_of
from pilotage.proto.api.jobs import JobFilter
from pilotage.proto.claims import Role
from tests.memory_store import MemoryStore
from tests.unit.identity.issuer import ISSUER, person

READ, OUTPUT = Permission.JOB_READ, Permission.JOB_OUTPUT
ALL = {"ada mc", "ada dl1", "bob mc"}

#    role          groups        action  of Ada's token, reached of these jobs
REACHED: list[tuple[Role, tuple[str, ...], Permission, set[str]]] = [
    (Role.USER, ("mc", "dl1"), READ, {"ada mc", "ada dl1"}),
    (Role.USER, ("mc",), READ, {"ada mc"}),
    (Role.USER, ("mc",), OUTPUT, {"ada mc"}),
    (Role.USER, (), READ, set()),
    (Role.READER, (), READ, ALL),
    (Role.READER, ("mc",), READ, ALL),
    (Role.READER, ("mc",), OUTPUT, set()),  # without the right nothing is reached
    (Role.MANAGER, ("mc",), READ, {"ada mc", "bob mc"}),
    (Role.MANAGER, (), READ, ALL),
    (Role.OPERATOR, (), OUTPUT, ALL),
]


@pytest.mark.parametrize(("role", "groups", "action", "reached"), REACHED)
def test_a_token_reaches_jobs_of_its_groups_and_a_user_of_these_the_own(
    role: Role, groups: tuple[str, ...], action: Permission, reached: set[str]
) -> None:
    bounds = scope(person(role, groups=groups), action, Owners(MemoryStore(), ISSUER))

    assert {
        job
        for job in ALL
        if bounds.covers(
            CountKey(community="ctao", group=job.split()[1], owner=job.split()[0], type="User")
        )
    } == reached


#    groups of a user's token   group asked for   groups that the store searches
SEARCHED: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = [
    (("mc", "dl1"), "", ("dl1", "mc")),
    (("mc", "dl1"), "mc", ("mc",)),
    (("mc",), "dl1", ("",)),  # a group of that name is nobody's
    ((), "", ("",)),
    ((), "mc", ("",)),
]


@pytest.mark.parametrize(("groups", "asked", "searched"), SEARCHED)
def test_a_search_stays_within_the_groups_of_the_token(
    groups: tuple[str, ...], asked: str, searched: tuple[str, ...]
) -> None:
    bounds = scope(person(groups=groups), READ, Owners(MemoryStore(), ISSUER))

    assert search_of(JobFilter(group=asked), bounds).groups == searched
