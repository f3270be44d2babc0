"""Sites that several communities share: none of them decides for the pilots of the others."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.callers import User
from pilotage.central.settings import CommunitySettings
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.api.sites import SiteAction, SiteActionName, SiteCheckRequest, SiteDetail
from pilotage.proto.claims import Role
from pilotage.proto.messages import Node, Register
from pilotage.proto.problems import Code
from tests import virtual

from .test_hosts import HOSTS, Scene

BAN, DRAIN, ENABLE = SiteActionName.BAN, SiteActionName.DRAIN, SiteActionName.ENABLE


def scene(tell: Callable[[Scene], Awaitable[None]], *others: str) -> None:
    async def whole() -> None:
        one = Scene()
        community = CommunitySettings(name="ctao", groups=("dpps",), others=others)
        one.world.settings = msgspec.structs.replace(one.world.settings, community=community)
        await one.start()
        try:
            await tell(one)
        finally:
            await one.world.kill()

    virtual.run(whole(), limit_s=100_000)


def operator(one: Scene, community: str, role: Role = Role.OPERATOR) -> User:
    caller = one.world.user()
    return msgspec.structs.replace(caller, subject="eve", community=community, role=role)


async def join(one: Scene, caller: User, *, host: str) -> None:
    """Register a pilot of the caller's community where those of ctao are."""
    pilots = one.world.central.services.pilots
    request = SecretRequest(site="PIC", element="slurm")
    made = await pilots.make_secrets(caller, request)
    await pilots.register(Register(secret=made.secrets[0].secret, nonce="n", node=Node(host=host)))


async def say(one: Scene, caller: User, what: SiteActionName, **more: str) -> SiteDetail:
    action = SiteAction(action=what, reason="mine", **more)
    return await one.world.central.services.sites.act(caller, "PIC", action)


async def refusals(one: Scene, caller: User) -> list[Code]:
    """Return how all is refused that a caller may try to do to a site."""
    elements = one.world.central.services.elements
    tries: list[Awaitable[object]] = [
        say(one, caller, BAN),
        say(one, caller, BAN, key="k"),
        say(one, caller, DRAIN),
        say(one, caller, DRAIN, element="slurm"),
        say(one, caller, ENABLE),
        say(one, caller, ENABLE, host="wn0"),
        elements.check(caller, "PIC", SiteCheckRequest(timeout_s=60.0)),
        elements.checked(caller, "c1"),
    ]
    found: list[Code] = []
    for one_try in tries:
        with pytest.raises(Refused) as refused:
            await one_try
        found.append(refused.value.code)
        assert "a token without a community" in str(refused.value)
    return found


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
@pytest.mark.parametrize("community", ["other", "ctao"])
def test_of_several_communities_none_bans_drains_or_checks_a_site(
    community: str, role: Role
) -> None:
    async def tell(one: Scene) -> None:
        one.world.central.elements.communities = one.world.settings.community.names
        caller, of_all = operator(one, community, role), operator(one, "")
        await join(one, caller, host="eve's")
        await say(one, of_all, BAN, element="slurm")
        found = await refusals(one, caller)
        places, pilots = one.world.central.memory.places, one.world.central.memory.pilots
        marks = [(mark.place, mark.mark.value) for mark in places.of_site("PIC")]
        draining = [pilot for pilot in pilots.all() if pilot.drain]
        told = (await say(one, of_all, DRAIN)).told

        assert found == [Code.FORBIDDEN] * 8
        assert marks == [("PIC/slurm", "banned")]
        assert draining == []
        assert told == HOSTS + 1  # who is of all communities reaches all

    scene(tell, "other")


def test_the_operator_of_the_only_community_is_the_one_of_all() -> None:
    async def tell(one: Scene) -> None:
        caller = operator(one, "ctao")
        told = (await say(one, caller, DRAIN)).told
        await say(one, caller, ENABLE)

        assert told == HOSTS

    scene(tell)


#     others      community  sees              reason
SEEN: list[tuple[tuple[str, ...], str, list[str], str]] = [
    (("other",), "", ["wn0"], "exit code 127"),
    (("other",), "ctao", ["wn0"], ""),
    (("other",), "other", [], ""),
    ((), "ctao", ["wn0"], "exit code 127"),
]


@pytest.mark.parametrize(("others", "community", "hosts", "reason"), SEEN)
def test_hosts_where_others_alone_have_pilots_are_not_shown(
    others: tuple[str, ...], community: str, hosts: list[str], reason: str
) -> None:
    async def tell(one: Scene) -> None:
        await one.submit(20, "maria")
        await one.submit(20, "jorge")
        await one.swallow()
        if "other" in others:
            await join(one, operator(one, "other"), host="eve's")
        detail = await one.world.central.services.sites.show(operator(one, community), "PIC")

        assert [held.host for held in detail.hosts] == hosts
        assert {held.reason for held in detail.hosts} <= {reason}

    scene(tell, *others)
