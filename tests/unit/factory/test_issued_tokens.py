"""Tokens that this installation signs for elements: claims of the WLCG profile, keys that turn."""

from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from pilotage.central.factory.credential import CredentialSource
from pilotage.central.factory.credentials.sources import source
from pilotage.central.factory.errors import BadOptions, CredentialExpired
from pilotage.central.identity.element_issuer import AHEAD_S, ElementIssuer
from pilotage.central.operate.clocks import SystemRandomness
from pilotage.central.operate.files import RealDisk
from pilotage.central.ports import Clock, Disk

from .test_credentials import Printing
from .test_factory import HandClock

URL = "https://central.example.org:8470"


class CountingDisk(RealDisk):
    """A disk that counts what is read."""

    reads = 0

    def read(self, path: Path) -> bytes | None:
        self.reads += 1
        return super().read(path)


def an_issuer(folder: Path, disk: Disk, clock: Clock) -> ElementIssuer:
    return ElementIssuer(folder, lambda: URL, disk=disk, clock=clock, randomness=SystemRandomness())


class House:
    """An installation with an issuer of its own, and an element of a site that trusts it."""

    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        self.issuer = an_issuer(folder, RealDisk(), self.clock)
        self.file = folder / "element-keys.json"

    def source(self, **options: Any) -> CredentialSource:
        given = {"audience": "ce.example.org:9619", **options}
        return source("issuer", given, commands=Printing(), clock=self.clock, signer=self.issuer)

    def read(self, token: str, jwks: dict[str, Any] | None = None) -> jwt.Token:
        """Read a token as a site does, by the keys that are published, or were."""
        keys = KeySet.import_key_set(jwks or self.issuer.published().jwks)  # type: ignore[arg-type]
        return jwt.decode(token, keys, algorithms=["ES256"])


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_a_token_has_the_claims_of_the_profile(house: House) -> None:
    found = await house.source(lifetime_s=1_200).current()
    claims = house.read(found.text).claims
    now = int(house.clock.wall())

    assert len(claims.pop("jti")) > 20
    assert found.expires_at == now + 1_200
    assert claims == {
        "iss": f"{URL}/elements",
        "sub": "pilotage-factory",
        "aud": "ce.example.org:9619",
        "iat": now,
        "nbf": now - 30,
        "exp": now + 1_200,
        "scope": "compute.read compute.modify compute.create compute.cancel",
        "wlcg.ver": "1.0",
    }


async def test_the_form_of_scopes_audience_and_issuer_is_the_elements(house: House) -> None:
    found = await house.source(
        audience=["one", "two"],
        scope=["compute.create"],
        scope_form="list",
        subject="dpps",
        issuer="https://tokens.example.org",
    ).current()
    claims = house.read(found.text).claims

    assert claims["aud"] == ["one", "two"]
    assert (claims["scope"], claims["sub"]) == (["compute.create"], "dpps")
    assert claims["iss"] == "https://tokens.example.org"


async def test_a_token_is_used_for_half_of_its_life(house: House) -> None:
    signs = house.source(lifetime_s=1_000)
    first = await signs.current()
    house.clock.now += 499
    kept = await signs.current()
    house.clock.now += 2
    second = await signs.current()

    assert kept is first
    assert second.text != first.text
    assert second.expires_at == house.clock.wall() + 1_000


async def test_a_new_key_is_shown_for_four_days_before_it_signs(house: House) -> None:
    first = (await house.source().current()).text
    alone = house.issuer.published().jwks
    house.clock.now += AHEAD_S
    house.issuer.rotate()
    shown = house.issuer.published().jwks
    house.clock.now += AHEAD_S - 1
    before = (await house.source().current()).text
    house.clock.now += 2
    after = (await house.source().current()).text

    kids = [one["kid"] for one in shown["keys"]]
    assert [house.read(one).header["kid"] for one in (first, before, after)] == [
        kids[1],
        kids[1],
        kids[0],
    ]
    assert AHEAD_S == 4 * 86_400
    assert house.read(before, alone), "a site that has fetched nothing anew takes it"
    assert "d" not in shown["keys"][0]


async def test_rotations_while_a_key_waits_drop_no_key_that_has_signed(house: House) -> None:
    first = (await house.source(lifetime_s=86_400).current()).text
    for _ in range(12):
        house.issuer.rotate()
        house.clock.now += 60
    again = (await house.source().current()).text

    assert house.read(first)
    assert house.read(again).header["kid"] == house.read(first).header["kid"]


async def test_a_key_is_shown_until_its_tokens_have_expired(house: House) -> None:
    await house.source().current()
    (old,) = house.issuer.published().jwks["keys"]
    house.issuer.rotate()
    house.clock.now += AHEAD_S - 1
    last = (await house.source(lifetime_s=86_400).current()).text
    house.clock.now += 86_400
    house.issuer.rotate()
    valid = house.issuer.published().jwks["keys"]
    house.clock.now += 86_401
    house.issuer.rotate()

    assert house.read(last, {"keys": [old]})
    assert old in valid
    assert old not in house.issuer.published().jwks["keys"]


def test_the_key_file_is_read_when_it_changes(tmp_path: Path) -> None:
    disk = CountingDisk()
    ours = an_issuer(tmp_path, disk, HandClock())
    for _ in range(50):
        ours.sign({"sub": "factory"})
    before = disk.reads
    an_issuer(tmp_path, RealDisk(), HandClock()).rotate()
    shown = ours.published().jwks["keys"]

    assert before <= 2, "once before it was made, and once after"
    assert len(shown) == 2


def test_where_keys_are_is_told_and_nothing_is_made_for_who_asks(house: House) -> None:
    found = house.issuer.published()

    assert found.metadata["issuer"] == f"{URL}/elements"
    assert found.metadata["jwks_uri"] == f"{URL}/elements/jwks.json"
    assert found.jwks == {"keys": []}
    assert not house.file.exists()


async def test_keys_are_ours_alone_and_damaged_ones_are_named(house: House) -> None:
    await house.source().current()
    mode = house.file.stat().st_mode & 0o777
    house.file.write_text("{}")

    assert mode == 0o600
    with pytest.raises(CredentialExpired, match=r"cannot sign a token: .*element-keys.json is"):
        await house.source().current()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"audience": ""}, "credential.options.audience"),
        ({"audience": ["a b"]}, "credential.options.audience"),
        ({"audience": "ce.example.org\n"}, "credential.options.audience"),
        ({"subject": "factory\n"}, "credential.options.subject"),
        ({"scope": ["compute.read storage.read"]}, r"credential.options.scope"),
        ({"scope": ['a"']}, "credential.options.scope"),
        ({"scope_form": "words"}, "credential.options.scope_form"),
        ({"lifetime_s": 60}, "credential.options.lifetime_s"),
        ({"issuer": "http://plain"}, "credential.options.issuer"),
        ({"key": "mine"}, "credential.options.*key"),
    ],
)
def test_a_wrong_option_is_named(house: House, options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadOptions, match=told):
        house.source(**options)
