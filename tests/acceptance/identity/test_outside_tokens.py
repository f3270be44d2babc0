"""Tokens of a real provider of each kind: keys over HTTPS, ID tokens, groups, direct bearer tokens.

Nobody logs in at a central here: these are the parts that a login and a bearer token rest on.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from pilotage.central.identity.callers import User
from pilotage.central.identity.errors import BadToken, Forbidden, KeysNeeded
from pilotage.central.identity.providers.client_requests import ClientRequests
from pilotage.central.identity.providers.mapping import choose, read_claims
from pilotage.central.identity.providers.metadata import MetadataReader
from pilotage.central.identity.providers.outside_tokens import OutsideTokens
from pilotage.central.identity.providers.provider_files import Providers
from pilotage.central.identity.providers.provider_keys import ProviderKeys
from pilotage.central.identity.strict_tokens import (
    ID_TOKEN_MAX,
    PLAIN_TYPES,
    TokenRules,
    check_id_token,
    check_signature,
    parse,
)
from pilotage.central.observe.events import no_log
from pilotage.central.operate.providers.provider_http import RealProviderHttp
from pilotage.proto.claims import Role
from tests.fake_central import FakeClock, FakeRandomness

from .providers import PROFILES, RESOURCE, WEB, RunningProvider, running_provider
from .test_provider import Client

FILE: Final = """\
issuer: {issuer}
client: {{id: pilotage-web, secret_file: {folder}/secret}}
scopes: [{scopes}]
bearer: {{audiences: ["{audience}"]}}
groups: {{claims: [{claims}]}}
subjects: {{robot: {{role: manager, groups: [mc]}}}}
ca_file: {ca_file}
map:
{rows}
"""
#  profile     scopes beside openid     claims                  a row, and what {group} stands in
FORMS: Final = {
    "wlcg": ("wlcg.groups", "wlcg.groups", "/ctao/{group}"),
    "iam": ("profile", "groups", "ctao/{group}"),
    "keycloak": ("profile", "groups, realm_access.roles", "/ctao/{group}"),
    "egi": (
        "eduperson_entitlement",
        "eduperson_entitlement",
        "urn:mace:egi.eu:group:ctao:{group}:role=member#aai.egi.eu",
    ),
    "cilogon": ("profile", "isMemberOf", "ctao/{group}"),
}
MANAGERS: Final = "  - {match: pilotage-manager, community: ctao, role: manager}\n"


class Reader:
    """The part of a central that reads tokens of one running provider."""

    def __init__(self, provider: RunningProvider, folder: Path) -> None:
        self.provider = provider
        scope, claims, pattern = FORMS[provider.profile]
        self.scope = f"openid {scope}"
        row = f'  - {{match: "{pattern}", community: ctao, role: user, groups: ["{{group}}"]}}\n'
        text = FILE.format(
            issuer=provider.issuer,
            folder=folder,
            scopes=self.scope.replace(" ", ", "),
            audience=RESOURCE,
            claims=claims,
            ca_file=provider.ca_file,
            rows=row + MANAGERS,
        )
        folder.mkdir()
        (folder / "test.yaml").write_text(text)
        self.providers = Providers(folder)
        self.providers.look()
        assert self.providers.book.troubles == {}
        self.entry = self.providers.book.providers["test"]
        self.clock = FakeClock(wall=time.time())
        self.http = RealProviderHttp()
        self.keys = ProviderKeys(
            providers=self.providers,
            requests=ClientRequests(self.http, MetadataReader(self.http, self.clock)),
            clock=self.clock,
            randomness=FakeRandomness(),
            log=no_log,
        )
        self.tokens = OutsideTokens(providers=self.providers, keys=self.keys)

    async def id_claims(self, text: str) -> dict[str, Any]:
        """Return the claims of an ID token after all checks."""
        token = parse(text, size_max=ID_TOKEN_MAX)
        if self.keys.find(token.issuer, token.header.kid) is None:
            await self.keys.refresh(token.issuer)
        key = self.keys.find(token.issuer, token.header.kid)
        assert key is not None
        check_signature(token, key)
        rules = TokenRules(
            issuer=self.entry.issuer,
            audiences=frozenset({WEB}),
            algorithms=frozenset(self.entry.algorithms),
            types=PLAIN_TYPES,
            life_max_s=86_400.0,
        )
        check_id_token(token, rules, self.clock.wall(), nonce=None)
        return token.claims

    async def bearer(self, text: str) -> User:
        """Return the user of an access token, as a face that may wait for keys."""
        try:
            return self.tokens.caller(parse(text), self.clock.wall())[0]
        except KeysNeeded as needed:
            await self.keys.refresh(needed.issuer)
            return self.tokens.caller(parse(text), self.clock.wall())[0]


@contextmanager
def reading(folder: Path, profile: str = "wlcg") -> Generator[Reader]:
    with running_provider(folder / "provider", profile) as provider:
        yield Reader(provider, folder / "identity")


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_login_at_each_kind_of_provider_gives_the_same_rights(
    profile: str, tmp_path: Path
) -> None:
    with reading(tmp_path, profile) as reader:
        tokens = Client(reader.provider).by_device("alice", scope=reader.scope)
        claims = await reader.id_claims(tokens["id_token"])
        found = read_claims(reader.entry, claims)
        chosen = choose(found)
        minted = reader.provider.mint(claims={"scope": "openid", **_of_person(claims)})
        user = await reader.bearer(minted)
        with pytest.raises(BadToken):
            await reader.bearer(tokens["id_token"])
        await reader.http.close()

    roles = {one.role for one in found.memberships}
    assert roles == ({Role.USER, Role.MANAGER} if profile == "keycloak" else {Role.USER})
    assert (chosen.community, chosen.role, chosen.groups) == ("ctao", Role.USER, ("prod",))
    assert claims["sub"] == user.subject
    assert (user.community, user.role, user.groups) == ("ctao", Role.USER, ("prod",))


async def test_keys_that_change_and_providers_that_are_away(tmp_path: Path) -> None:
    with reading(tmp_path) as reader:
        provider, groups = reader.provider, {"sub": "alice", "wlcg.groups": ["/ctao/prod"]}
        old = provider.mint(claims=groups)
        provider.stop()
        with pytest.raises(BadToken):  # it is away, and no key of it is known
            await reader.bearer(old)
        provider.start()
        reader.clock.move(60)
        before = await reader.bearer(old)
        provider.rotate(withdraw=True)
        new = provider.mint(claims=groups)
        with pytest.raises(BadToken):  # within the same minute nothing is fetched
            await reader.bearer(new)
        reader.clock.move(60)
        after = await reader.bearer(new)
        with pytest.raises(BadToken):
            await reader.bearer(old)
        provider.away("hang")
        reader.clock.move(600)
        meanwhile = await reader.bearer(new)
        await reader.http.close()

    assert before.groups == after.groups == meanwhile.groups == ("prod",)


async def test_tokens_of_robots_and_with_capabilities(tmp_path: Path) -> None:
    with reading(tmp_path) as reader:
        provider = reader.provider
        groups = {"sub": "alice", "wlcg.groups": ["/ctao/prod"]}
        robot = await reader.bearer(provider.mint(claims={"sub": "robot", "scope": ""}))
        with pytest.raises(Forbidden, match="so its groups do not count"):
            await reader.bearer(provider.mint(claims=groups | {"scope": "storage.read:/ctao"}))
        with pytest.raises(Forbidden, match="groups seen are '/other'"):
            await reader.bearer(provider.mint(claims={"sub": "eve", "wlcg.groups": ["/other"]}))
        with pytest.raises(BadToken):
            any_site = {"aud": "https://wlcg.cern.ch/jwt/v1/any"}
            await reader.bearer(provider.mint(claims=groups | any_site))
        await reader.http.close()

    assert (robot.role, robot.groups, robot.community) == (Role.MANAGER, ("mc",), "ctao")


def _of_person(claims: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of an ID token that an access token of the same person would have."""
    names = ("sub", "wlcg.groups", "groups", "realm_access", "eduperson_entitlement", "isMemberOf")
    return {name: claims[name] for name in names if name in claims}
