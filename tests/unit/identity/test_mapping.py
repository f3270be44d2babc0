"""What a person may be, from the claims of five kinds of providers."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.errors import Forbidden
from pilotage.central.identity.providers.mapping import (
    ClaimReading,
    Membership,
    capabilities,
    choose,
    read_claims,
    seen_groups,
)
from pilotage.central.identity.providers.provider_files import (
    GroupClaims,
    ProviderEntry,
    SubjectRow,
)
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code

from .profiles import FORMS, an_entry, of_profile, row, told

PROFILES = list(FORMS)


def brief(found: tuple[Membership, ...]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.community, one.role.value, one.groups) for one in found]


def memberships(entry: ProviderEntry, claims: Mapping[str, Any]) -> tuple[Membership, ...]:
    return read_claims(entry, claims).memberships


def default(profile: str, *groups: str) -> Membership:
    return choose(read_claims(of_profile(profile), told(profile, groups)))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_member_is_a_user_of_the_groups_that_match(profile: str) -> None:
    entry = of_profile(profile)
    claims = told(profile, ["/ctao/prod", "/other/x", "/ctao/dl1", "/ctao/prod"])

    assert brief(memberships(entry, claims)) == [("ctao", "user", ("prod", "dl1"))]
    assert len(seen_groups(entry, claims)) == 3
    assert "map[1], which matches" in str(memberships(entry, claims)[0].rows[0])


@pytest.mark.parametrize("profile", PROFILES)
def test_an_admin_is_a_user_unless_another_role_is_asked_for(profile: str) -> None:
    found = read_claims(of_profile(profile), told(profile, ["/ctao/admins", "/ctao/prod"]))

    assert brief(found.memberships) == [("ctao", "admin", ()), ("ctao", "user", ("admins", "prod"))]
    assert choose(found).role is Role.USER
    assert choose(found, role=Role.ADMIN).groups == ()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("group", ["/ctao", "/ctao/prod/mc", "/ctao2/prod", "/CTAO/prod"])
def test_groups_above_below_and_beside_do_not_match(profile: str, group: str) -> None:
    with pytest.raises(Forbidden, match="none of your groups gives access here") as refused:
        default(profile, group)

    assert group.removeprefix("/").split("/")[-1] in refused.value.message  # it was seen


@pytest.mark.parametrize("profile", PROFILES)
def test_without_claims_nobody_gets_in(profile: str) -> None:
    entry = of_profile(profile)

    assert memberships(entry, {"sub": "ada"}) == ()
    with pytest.raises(Forbidden, match="the groups seen are none"):
        choose(ClaimReading(memberships=(), seen=(), skipped=()))


def test_a_slash_is_taken_as_it_is_written() -> None:
    entry = an_entry(row("/ctao/prod", groups=("a",)), row("ctao/prod", groups=("b",)))

    assert brief(memberships(entry, {"wlcg.groups": ["/ctao/prod"]})) == [("ctao", "user", ("a",))]
    assert brief(memberships(entry, {"wlcg.groups": ["ctao/prod"]})) == [("ctao", "user", ("b",))]


#    names of claims, claims, groups that are seen
CLAIMS: list[tuple[tuple[str, ...], dict[str, Any], tuple[str, ...]]] = [
    (("wlcg.groups",), {"wlcg.groups": ["/a"]}, ("/a",)),
    (("wlcg.groups",), {"wlcg": {"groups": ["/a"]}}, ("/a",)),
    (("wlcg.groups",), {"wlcg.groups": ["/a"], "wlcg": {"groups": ["/b"]}}, ("/a",)),
    (("realm_access.roles",), {"realm_access": {"roles": ["boss"]}}, ("boss",)),
    (
        ("resource_access.our.client.roles",),
        {"resource_access": {"our.client": {"roles": ["x"]}}},
        ("x",),
    ),
    (("realm_access.roles",), {"realm_access": ["boss"]}, ()),
    (("realm_access.roles",), {"realm_access": None}, ()),
    (("groups", "roles"), {"roles": ["b"], "groups": ["a", "b"]}, ("a", "b")),
    (("groups",), {"groups": "one"}, ("one",)),
    (("groups",), {"groups": ["a", 5, None, ["b"], {"c": 1}, ""]}, ("a",)),
    (("groups",), {"groups": {"a": 1}}, ()),
    (("groups",), {"groups": 5}, ()),
    (("groups",), {"groups": ["x" * 513, "a"]}, ("a",)),
]


@pytest.mark.parametrize(("names", "claims", "right"), CLAIMS)
def test_claims_are_found_by_name_and_by_path(
    names: tuple[str, ...], claims: dict[str, Any], right: tuple[str, ...]
) -> None:
    entry = an_entry(groups=GroupClaims(claims=names))

    assert seen_groups(entry, claims) == right


def test_a_group_that_no_token_can_have_is_skipped_and_told() -> None:
    entry = an_entry(
        row("/ctao/{group}", role=Role.MANAGER, groups=("{group}",)), claims=("groups",)
    )
    claims = {"groups": ["/ctao/CTAO Users", "/ctao/prod"]}
    read = read_claims(entry, claims)

    assert brief(read.memberships) == [("ctao", "manager", ("prod",))]
    assert read.seen == ("/ctao/CTAO Users", "/ctao/prod")
    assert read.skipped == ("'CTAO Users', from '/ctao/CTAO Users'",)
    # A manager without groups has the whole community: that must not come of a skipped name.
    assert memberships(entry, {"groups": ["/ctao/CTAO Users"]}) == ()


def test_a_manager_of_all_stays_one_beside_groups() -> None:
    entry = an_entry(
        row("/ctao/chiefs", role=Role.MANAGER),
        row("/ctao/leads/{group}", role=Role.MANAGER, groups=("{group}",)),
    )
    both = memberships(entry, {"wlcg.groups": ["/ctao/leads/mc", "/ctao/chiefs"]})
    lead = memberships(entry, {"wlcg.groups": ["/ctao/leads/mc"]})

    assert brief(both) == [("ctao", "manager", ())]
    assert brief(lead) == [("ctao", "manager", ("mc",))]


def test_several_communities_need_a_word_of_the_person() -> None:
    entry = an_entry(
        row("/lhcb", community="lhcb"),
        row("/{group}", groups=("{group}",)),
        row("/root", community="*", role=Role.OPERATOR),
    )
    found = read_claims(entry, {"wlcg.groups": ["/ctao", "/lhcb", "/root"]})
    one = read_claims(entry, {"wlcg.groups": ["/ctao", "/root"]})

    with pytest.raises(Refused, match="your groups give lhcb, ctao, ") as refused:
        choose(found)
    assert (refused.value.code, refused.value.field) == (Code.INVALID, "community")
    assert choose(found, community="lhcb").community == "lhcb"
    assert choose(one).community == "ctao"
    assert choose(one, community="*").role is Role.OPERATOR
    assert choose(found, role=Role.OPERATOR).community == ""


def test_what_a_person_has_not_is_refused_by_name() -> None:
    found = read_claims(of_profile("wlcg"), told("wlcg", ["/ctao/prod"]))

    with pytest.raises(Forbidden, match="not in the community 'lhcb'; your groups give ctao") as no:
        choose(found, community="lhcb")
    with pytest.raises(Forbidden, match="do not give the role admin; they give user") as not_that:
        choose(found, role=Role.ADMIN)

    assert (no.value.field, not_that.value.field) == ("community", "role")


@pytest.mark.parametrize(
    ("has", "gets"),
    [("admin manager", "manager"), ("operator reader", "reader"), ("admin user", "user")],
)
def test_the_default_role_is_user_and_else_the_narrowest(has: str, gets: str) -> None:
    rows = (row("/g", role=Role(one)) for one in has.split())
    found = read_claims(an_entry(*rows), {"wlcg.groups": ["/g"]})

    assert choose(found).role is Role(gets)


def test_a_subject_of_the_table_needs_no_groups() -> None:
    entry = an_entry(
        row("/ctao", groups=("prod",)),
        subjects={"robot-1": SubjectRow(role=Role.MANAGER, groups=("mc",))},
    )

    assert brief(memberships(entry, {"sub": "robot-1"})) == [("ctao", "manager", ("mc",))]
    assert memberships(entry, {"sub": "robot-2"}) == ()
    assert memberships(entry, {"sub": ["robot-1"]}) == ()


def test_without_groups_only_the_table_of_subjects_counts() -> None:
    entry = an_entry(
        row("/ctao", groups=("prod",)), subjects={"robot": SubjectRow(role=Role.READER)}
    )
    claims = {"sub": "robot", "wlcg.groups": ["/ctao"]}
    read = read_claims(entry, claims, by_group=False)

    assert brief(read.memberships) == [("ctao", "reader", ())]
    assert read.seen == ("/ctao",)


def test_thousands_of_groups_take_a_moment_and_are_bounded() -> None:
    rows = [row(f"/ctao/team{number}-{{group}}", groups=("{group}",)) for number in range(500)]
    entry = an_entry(*rows, row("/ctao/{group}", groups=("{group}",)))
    claims = {"wlcg.groups": [f"/ctao/g{number}" for number in range(20_000)] * 2}
    memberships(entry, {})  # the rows are arranged once
    began = time.process_time()
    (found,) = memberships(entry, claims)
    took_s = time.process_time() - began

    assert took_s < 0.5
    assert found.groups == tuple(f"g{number}" for number in range(64))
    assert found.groups_left_out == 5_000 - 64
    assert len(found.rows) == 1


def test_a_refusal_names_some_groups_of_many() -> None:
    many = [f"/x/{number}" for number in range(1_000)]
    with pytest.raises(Forbidden) as refused:
        choose(ClaimReading(memberships=(), seen=tuple(many), skipped=()))

    assert "'/x/0', '/x/1', " in refused.value.message
    assert refused.value.message.endswith("'/x/19' and 980 more")


@pytest.mark.parametrize(
    ("scope", "right"),
    [
        ("openid profile", ()),
        ("openid compute.read storage.read:/ctao", ("compute.read", "storage.read:/ctao")),
        ("computer storages", ()),
        (["compute.create"], ("compute.create",)),
        (None, ()),
        (7, ()),
    ],
)
def test_scopes_that_authorise_are_found(scope: object, right: tuple[str, ...]) -> None:
    assert capabilities({"scope": scope}) == right
