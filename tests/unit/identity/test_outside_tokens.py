"""What outside tokens give: rights by the map, none by capabilities, and how long they are kept."""

from typing import Any

import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity import verification
from pilotage.central.identity.callers import User
from pilotage.central.identity.errors import BadToken, Forbidden
from pilotage.central.identity.providers.provider_files import (
    BearerRules,
    ProviderBook,
    ProviderEntry,
    SubjectRow,
)
from pilotage.central.identity.strict_tokens import parse
from pilotage.proto.claims import Role
from tests.unit.identity.issuer import Issuer, make_issuer

from .fake_provider import EC_KID, Outside, ec_key
from .forgeries import Maker
from .profiles import AUDIENCE, FORMS, ISSUER, an_entry, of_profile, row, told

CAPABLE = "openid compute.read storage.read:/ctao"


def maker(world: Outside, **usual: Any) -> Maker:
    return Maker(
        issuer=ISSUER,
        audience=AUDIENCE,
        now=int(world.clock.wall()),
        key=ec_key(EC_KID),
        kid=EC_KID,
        usual=usual,
    )


async def user(entry: ProviderEntry, **claims: Any) -> User:
    """Return the user of a token with these claims."""
    world = Outside(entry)
    found = await world.caller(parse(maker(world, **claims).token()))
    assert isinstance(found, User)
    return found


@pytest.mark.parametrize("profile", FORMS)
async def test_a_token_of_each_profile_gives_its_groups(profile: str) -> None:
    claims = told(profile, ["/ctao/prod", "/ctao/admins"])
    found = await user(of_profile(profile), **claims)

    assert (found.issuer, found.subject, found.name) == (ISSUER, "ada", "Ada")
    assert (found.community, found.role, found.groups) == ("ctao", Role.USER, ("prod", "admins"))


async def test_who_matches_nothing_is_told_which_groups_were_seen() -> None:
    with pytest.raises(Forbidden, match="groups seen are '/other/x'"):
        await user(of_profile("wlcg"), **told("wlcg", ["/other/x"]))


@pytest.mark.parametrize("scope", [CAPABLE, "storage.poll:/", ["compute.cancel"]])
async def test_groups_do_not_count_in_a_token_with_capabilities(scope: object) -> None:
    claims = told("wlcg", ["/ctao/prod"]) | {"scope": scope}
    bearer = BearerRules(audiences=(AUDIENCE,), capabilities=True)

    with pytest.raises(Forbidden, match="its groups do not count: get a token without compute"):
        await user(of_profile("wlcg"), **claims)
    assert (await user(of_profile("wlcg", bearer=bearer), **claims)).groups == ("prod",)


async def test_scopes_of_another_form_are_refused() -> None:
    with pytest.raises(BadToken):
        await user(of_profile("wlcg"), **told("wlcg", ["/ctao/prod"]), scope=5)


async def test_a_robot_of_the_table_needs_no_groups_and_may_have_capabilities() -> None:
    subjects = {"robot-1": SubjectRow(role=Role.MANAGER, groups=("mc",))}
    entry = an_entry(row("/ctao/{group}", groups=("{group}",)), subjects=subjects)
    robot = await user(entry, sub="robot-1", scope=CAPABLE)

    assert robot.session == "", "its jobs may not ask for tokens"
    assert (robot.role, robot.community, robot.groups) == (Role.MANAGER, "ctao", ("mc",))
    with pytest.raises(Forbidden):
        await user(entry, sub="robot-2")


async def test_the_file_names_the_community_of_people_in_several() -> None:
    rows = (row("/a", community="a"), row("/b", community="b"))
    undecided = an_entry(*rows)
    decided = an_entry(*rows, bearer=BearerRules(audiences=(AUDIENCE,), community="b"))
    both = {"wlcg.groups": ["/a", "/b"]}

    with pytest.raises(Refused, match="your groups give a, b: name one community"):
        await user(undecided, **both)
    assert (await user(decided, **both)).community == "b"
    assert (await user(decided, **{"wlcg.groups": ["/a"]})).community == "a"


async def test_a_provider_without_bearer_rules_or_without_a_file_gives_nothing() -> None:
    silent = Outside(an_entry(bearer=None))
    text = parse(maker(silent).token())

    for world in (silent, Outside()):
        with pytest.raises(BadToken):
            await world.caller(text)
        assert world.http.asked == []


async def test_an_algorithm_that_the_file_does_not_name_is_refused() -> None:
    with pytest.raises(BadToken):
        await user(of_profile("wlcg", algorithms=("RS256",)), **told("wlcg", ["/ctao/prod"]))


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": None}, ""),
        ({"name": "A\nB", "preferred_username": "ab"}, "ab"),
        ({"name": 5}, ""),
        ({"name": "a" * 200}, "a" * 77 + "..."),
    ],
)
async def test_a_name_is_one_short_line(claims: dict[str, Any], name: str) -> None:
    found = await user(of_profile("wlcg"), **(told("wlcg", ["/ctao/prod"]) | claims))

    assert found.name == name


# -- the cache of the verifier --------------------------------------------------------------------


async def a_verifier(world: Outside) -> Issuer:
    for one in world.all:
        await world.keys.refresh(one.issuer)
    return await make_issuer(clock=world.clock, outside=world.tokens)


async def test_a_verified_token_is_cached_and_checked_again_after_a_minute() -> None:
    world = Outside(of_profile("wlcg"))
    issuer = await a_verifier(world)
    text = maker(world, **told("wlcg", ["/ctao/prod"])).token()
    first = issuer.tokens.caller(text)
    world.providers.book = ProviderBook()  # the file is gone
    world.clock.move(59)
    cached = issuer.tokens.caller(text)
    world.clock.move(1)

    assert cached is first
    with pytest.raises(BadToken):
        issuer.tokens.caller(text)
    with pytest.raises(BadToken):
        issuer.tokens.caller(text)


async def test_a_cached_outside_token_ends_on_time_in_the_words_of_all() -> None:
    world = Outside(of_profile("wlcg"))
    issuer = await a_verifier(world)
    text = maker(world, **told("wlcg", ["/ctao/prod"])).token(exp=int(world.clock.wall()) + 30)
    issuer.tokens.caller(text)
    world.clock.move(30)

    with pytest.raises(BadToken, match="this token is not valid here"):
        issuer.tokens.caller(text)


async def test_outside_tokens_in_memory_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "OUTSIDE_MAX", 3)
    world = Outside(of_profile("wlcg"))
    issuer = await a_verifier(world)
    make = maker(world, **told("wlcg", ["/ctao/prod"]))
    texts = [make.token(jti=f"j{number}") for number in range(5)]
    callers = [issuer.tokens.caller(one) for one in texts]

    assert issuer.tokens.caller(texts[4]) is callers[4]
    assert issuer.tokens.caller(texts[0]) is not callers[0]
    assert issuer.tokens.caller(texts[0]) == callers[0]


async def test_an_outside_token_with_the_id_of_a_revoked_one_is_another_token() -> None:
    world = Outside(of_profile("wlcg"))
    issuer = await a_verifier(world)
    jti = issuer.admin.jti
    await issuer.tokens.revoke(issuer.admin, jti)
    text = maker(world, **told("wlcg", ["/ctao/prod"])).token(jti=jti)

    assert isinstance(issuer.tokens.caller(text), User)
