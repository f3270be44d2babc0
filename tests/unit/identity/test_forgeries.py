"""Forged tokens of outside issuers and of our own: all get the same words, and cause no request."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from joserfc.jwk import ECKey, OctKey

from pilotage.central.identity.callers import Caller, User
from pilotage.central.identity.errors import BadToken, KeysNeeded
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code
from tests.unit.identity.issuer import AUDIENCE as OWN_AUDIENCE, ISSUER as OWN_ISSUER, make_issuer

from .fake_provider import EC_KID, RSA_KID, Outside, ec_key, public, rsa_key
from .forgeries import (
    FORGERIES,
    OCT,
    OUTSIDE_ONLY,
    RIGHT,
    RIGHT_IF_OUTSIDE,
    RIGHT_IF_OWN,
    Maker,
)
from .profiles import AUDIENCE, ISSUER, an_entry, row

OTHER_ISSUER = "https://other.test"
ROWS = (row("/ctao/{group}", groups=("{group}",)),)
WORDS = "this token is not valid here"
OWN_FORGERIES = {
    name: make for name, make in FORGERIES.items() if name not in RIGHT_IF_OWN | OUTSIDE_ONLY
}
OWN_RIGHT = {name: make for name, make in RIGHT.items() if name not in RIGHT_IF_OUTSIDE}

Make = Callable[[Maker], str]


@dataclass
class World:
    """Two providers and our own issuer, all read by one verifier."""

    outside: Outside
    verify: Callable[[str], Caller]
    theirs: Maker
    ours: Maker

    async def ask(self, token: str) -> Caller:
        """Return the caller as a face that may wait for keys: it asks once more."""
        try:
            return self.verify(token)
        except KeysNeeded as needed:
            assert str(needed) == WORDS
            await self.outside.keys.refresh(needed.issuer)
            return self.verify(token)


async def a_world() -> World:
    """Return a world in which the keys of all providers were just fetched."""
    outside = Outside(an_entry(*ROWS), an_entry(*ROWS, issuer=OTHER_ISSUER))
    mine, other = outside.all
    mine.jwks += [
        public(ec_key("p384", "P-384"), "p384"),
        public(rsa_key("small", 1_024), "small"),
        dict(OctKey.import_key(OCT).as_dict(private=True)) | {"kid": "oct1"},
    ]
    other.jwks = [public(ec_key("other"), "other1")]
    for one in outside.all:
        await outside.keys.refresh(one.issuer)
    outside.http.asked.clear()
    issuer = await make_issuer(clock=outside.clock, outside=outside.tokens)
    now, key = int(outside.clock.wall()), issuer.key()
    theirs = Maker(
        issuer=ISSUER,
        audience=AUDIENCE,
        now=now,
        key=ec_key(EC_KID),
        kid=EC_KID,
        rsa=rsa_key(RSA_KID),
        rsa_kid=RSA_KID,
        usual={"wlcg.groups": ["/ctao/prod"]},
    )
    ours = Maker(
        issuer=OWN_ISSUER,
        audience=OWN_AUDIENCE,
        now=now,
        key=ECKey.import_key({name: key[name] for name in ("kty", "crv", "x", "y", "d")}),
        kid=key["kid"],
        usual={"kind": "user", "community": "ctao", "role": "user"},
    )
    return World(outside, issuer.tokens.caller, theirs, ours)


async def refused(world: World, token: str) -> None:
    """Check that a token gets the words of all bad ones."""
    with pytest.raises(BadToken) as why:
        await world.ask(token)
    assert (str(why.value), why.value.code, why.value.field) == (WORDS, Code.BAD_TOKEN, "")


@pytest.mark.parametrize("make", FORGERIES.values(), ids=FORGERIES.keys())
async def test_an_outside_forgery_is_refused_and_causes_no_request(make: Make) -> None:
    world = await a_world()
    token = make(world.theirs)

    await refused(world, token)
    assert world.outside.http.asked == []

    # Later an unknown `kid` is looked up, but only where the issuer's own metadata says.
    world.outside.clock.move(300)
    await refused(world, token)
    assert world.outside.http.asked in ([], ["https://iam.test/jwk"])


@pytest.mark.parametrize("make", OWN_FORGERIES.values(), ids=OWN_FORGERIES.keys())
async def test_a_forgery_of_our_own_tokens_is_refused_and_causes_no_request(make: Make) -> None:
    world = await a_world()
    token = make(world.ours)
    world.outside.clock.move(300)

    await refused(world, token)

    assert world.outside.http.asked == []


@pytest.mark.parametrize("make", RIGHT.values(), ids=RIGHT.keys())
async def test_a_right_outside_token_is_taken(make: Make) -> None:
    world = await a_world()
    caller = await world.ask(make(world.theirs))

    assert isinstance(caller, User)
    assert (caller.issuer, caller.community, caller.groups) == (ISSUER, "ctao", ("prod",))
    assert caller.role is Role.USER
    assert world.outside.http.asked == []


@pytest.mark.parametrize("make", OWN_RIGHT.values(), ids=OWN_RIGHT.keys())
async def test_a_right_token_of_our_own_is_taken(make: Make) -> None:
    world = await a_world()
    caller = await world.ask(make(world.ours))

    assert isinstance(caller, User) and caller.issuer == OWN_ISSUER


async def test_a_second_issuer_is_one_beside_the_first() -> None:
    world = await a_world()
    token = Maker(
        issuer=OTHER_ISSUER,
        audience=AUDIENCE,
        now=world.theirs.now,
        key=ec_key("other"),
        kid="other1",
        usual={"wlcg.groups": ["/ctao/mc"]},
    ).token()
    caller = await world.ask(token)

    assert isinstance(caller, User)
    assert (caller.issuer, caller.subject, caller.groups) == (OTHER_ISSUER, "ada", ("mc",))


async def test_without_providers_all_outside_tokens_are_refused() -> None:
    world = await a_world()
    alone = await make_issuer(clock=world.outside.clock)

    with pytest.raises(BadToken, match=WORDS):
        alone.tokens.caller(world.theirs.token())


def test_there_are_all_forgeries_of_the_reference() -> None:
    assert len(FORGERIES) >= 80
    assert len(OWN_FORGERIES) >= 80
    assert len(RIGHT) >= 7
    assert not (RIGHT_IF_OWN | OUTSIDE_ONLY) - FORGERIES.keys()
    assert not RIGHT_IF_OUTSIDE - RIGHT.keys()
