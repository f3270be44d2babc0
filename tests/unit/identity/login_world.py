"""Logins on fakes: a central with a store in memory, and a provider that tests script."""

import asyncio
import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from pilotage.central.identity.logins.service import LoginService
from pilotage.central.identity.providers.client_requests import ClientRequests
from pilotage.central.identity.providers.metadata import MetadataReader
from pilotage.central.identity.providers.oauth import OAuth
from pilotage.central.identity.providers.people import People
from pilotage.central.identity.providers.provider_files import (
    GroupClaims,
    MapRow,
    ProviderBook,
    ProviderClient,
    ProviderEntry,
    Providers,
)
from pilotage.central.identity.providers.provider_http import BadProvider, NoJson, ProviderAway
from pilotage.central.identity.sessions.assembly import SessionServices, session_services
from pilotage.central.identity.sessions.cipher import TokenCipher
from pilotage.central.identity.sessions.job_grants import JobGrants
from pilotage.central.identity.sessions.life import LoginSessions
from pilotage.central.jobs.record_token_classes import has_jobs_with_tokens
from pilotage.proto.claims import Role
from tests.fake_central import FakeRandomness
from tests.unit.identity.issuer import Issuer, make_issuer

URL = "https://central.test"
IAM = "https://iam.test/"
OTHER = "https://other.test/"


def entry(issuer: str = IAM, **changed: Any) -> ProviderEntry:
    """A provider with two communities; admins are managers of the first."""
    fields: dict[str, Any] = {
        "issuer": issuer,
        "client": ProviderClient(id="pilotage", secret_file="/secret"),
        "groups": GroupClaims(claims=("wlcg.groups",), from_=("id_token",)),
        "map": (
            MapRow(match="/ctao/admins", community="ctao", role=Role.ADMIN),
            MapRow(match="/ctao/{group}", community="ctao", role=Role.USER, groups=("{group}",)),
            MapRow(match="/lst", community="lst", role=Role.USER, groups=("lst",)),
        ),
    }
    return ProviderEntry(**fields | changed)


@dataclass
class FakeProvider:
    """A provider whose person is `claims`. Each refresh token is good once, like a strict one."""

    issuer: str = IAM
    claims: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "alice",
            "name": "Alice",
            "email": "alice@example.org",
            "email_verified": True,
            "wlcg.groups": ["/ctao/prod"],
        }
    )
    away: bool = False
    away_as: ProviderAway | None = None  # the exception, if it is another than the usual one
    slow: asyncio.Event | None = None  # answers come after it
    has_device_flow: bool = True
    codes: dict[str, Any] = field(default_factory=dict[str, Any])  # changed ones of device logins
    expires_in: Any = 3600
    is_confirmed: bool = False
    says: dict[str, Any] = field(default_factory=dict[str, Any])  # an error, instead of tokens
    gives_refresh: bool = True
    gives_id_token: bool = True
    in_access_token: bool = False  # the claims are in the access token as well
    nonce: str = ""
    good: str = ""  # the newest refresh token
    ended: bool = False  # all grants, or one after a replay
    is_strict: bool = True  # a replay ends the whole grant
    tokens_given: int = 0
    grants: dict[str, int] = field(default_factory=dict[str, int])  # of each refresh token
    valid: set[str] = field(default_factory=set[str])
    wide: tuple[str, ...] = ("storage.modify:/",)  # scopes that are more than the person has
    exchanges: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def tokens(self, grant: int | None = None) -> dict[str, Any]:
        self.tokens_given += 1
        answer: dict[str, Any] = {"access_token": "opaque", "expires_in": self.expires_in}
        if self.gives_id_token:
            answer["id_token"] = msgspec.json.encode(
                {**self.claims, "iss": self.issuer, "nonce": self.nonce}
            ).decode()
        if self.in_access_token:
            body = base64.urlsafe_b64encode(msgspec.json.encode(self.claims)).rstrip(b"=").decode()
            answer["access_token"] = f"e30.{body}.c2ln"
        if self.gives_refresh:
            self.good = answer["refresh_token"] = f"refresh-{secrets.token_hex(8)}"
            self.grants[self.good] = self.tokens_given if grant is None else grant
            self.valid.add(self.good)
        return answer

    def refreshed(self, token: str) -> tuple[int, dict[str, Any]]:
        grant = self.grants.get(token)
        if token not in self.valid or self.ended:
            for one, its in self.grants.items():
                if its == grant and self.is_strict:  # a replay ends its whole grant
                    self.valid.discard(one)
                    self.ended = True
            return 400, {"error": "invalid_grant"}
        self.valid.remove(token)
        return 200, self.tokens(grant)

    def token(self, fields: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        if self.says:
            return 400, self.says
        if fields["grant_type"].endswith("device_code"):
            if not self.is_confirmed:
                return 400, {"error": "authorization_pending"}
            return 200, self.tokens()
        if fields["grant_type"] == "refresh_token":
            return self.refreshed(fields["refresh_token"])
        if fields["grant_type"].endswith("token-exchange"):
            return self.exchanged(fields)
        return 200, self.tokens()

    def exchanged(self, fields: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        scope = fields.get("scope", "")
        self.exchanges.append((fields["audience"], scope))
        if set(scope.split()) & set(self.wide):
            said = "the subject_token has less"
            return 400, {"error": "invalid_scope", "error_description": said}
        number = len(self.exchanges)
        return 200, {"access_token": f"for-{fields['audience']}-{number}", "expires_in": 3600}


@dataclass
class FakeProviderHttp:
    """The network with its providers; it notes each request."""

    providers: dict[str, FakeProvider]
    requests: list[str] = field(default_factory=list[str])

    def _of(self, url: str) -> FakeProvider:
        self.requests.append(url)
        for issuer, one in self.providers.items():
            if url.startswith(issuer):
                if one.away_as is not None:
                    raise one.away_as
                if one.away:
                    raise ProviderAway(f"{issuer} does not answer")
                return one
        raise AssertionError(f"a request to {url}, which is no provider")

    async def get(self, url: str, *, ca_file: str = "", bearer: str = "") -> dict[str, Any]:
        one = self._of(url)
        issuer = one.issuer
        return {
            "issuer": issuer,
            "token_endpoint": f"{issuer}token",
            "authorization_endpoint": f"{issuer}auth",
            "device_authorization_endpoint": f"{issuer}device" if one.has_device_flow else "",
            "revocation_endpoint": f"{issuer}revoke",
            "authorization_response_iss_parameter_supported": True,
        }

    async def post(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        ca_file: str = "",
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        one = self._of(url)
        if one.slow is not None:
            await one.slow.wait()
        assert basic == ("pilotage", "s/ecret"), "the client is confidential"
        if url.endswith("/device"):
            return 200, {
                "device_code": "device",
                "user_code": "ABCD-EFGH",
                "verification_uri": f"{one.issuer}device",
                "expires_in": 300,
                "interval": 5,
                **one.codes,
            }
        if url.endswith("/revoke"):
            one.ended = True
            raise NoJson(url, 200)  # RFC 7009 allows any body
        return one.token(fields)


class FakeIdTokens:
    """Reads the ID tokens of `FakeProvider`, which have no signature."""

    async def claims(self, entry: ProviderEntry, token: str, *, nonce: str) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(token)
        if found["iss"] != entry.issuer or (nonce and found["nonce"] != nonce):
            raise BadProvider("the ID token is not for this login")
        return found


@dataclass
class LoginWorld:
    """A central at which people log in."""

    issuer: Issuer
    service: LoginService
    all_sessions: SessionServices
    providers: Providers
    provider: FakeProvider
    other: FakeProvider
    http: FakeProviderHttp
    log: list[tuple[str, dict[str, Any]]]

    @property
    def sessions(self) -> LoginSessions:
        return self.all_sessions.logins

    @property
    def job_grants(self) -> JobGrants:
        return self.all_sessions.job_grants

    @property
    def clock(self) -> Any:
        return self.issuer.clock

    def events(self, name: str) -> list[dict[str, Any]]:
        return [fields for said, fields in self.log if said == name]


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


async def login_world(*, two: bool = False, url: str = URL) -> LoginWorld:
    """A central with one provider, or with two."""
    issuer = await make_issuer()
    provider, other = FakeProvider(), FakeProvider(OTHER)
    http = FakeProviderHttp({IAM: provider, OTHER: other})
    entries = {"iam": entry()} | ({"other": entry(OTHER)} if two else {})
    providers = Providers()
    providers.book = ProviderBook(entries)
    randomness, log = FakeRandomness(7), list[tuple[str, dict[str, Any]]]()

    def note(event: str, **fields: Any) -> None:
        log.append((event, fields))

    oauth = OAuth(ClientRequests(http, MetadataReader(http, issuer.clock)), lambda _: "s/ecret")
    people = People(oauth, FakeIdTokens())
    sessions = session_services(
        store=issuer.store,
        tokens=issuer.tokens,
        bans=issuer.tokens.bans,
        providers=providers,
        oauth=oauth,
        people=people,
        cipher=TokenCipher(issuer.tokens.cipher_key("test"), randomness),
        is_used=has_jobs_with_tokens,
        clock=issuer.clock,
        randomness=randomness,
        log=note,
    )
    service = LoginService(
        providers=providers,
        oauth=oauth,
        people=people,
        sessions=sessions.logins,
        unused=sessions.unused,
        work=sessions.work,
        url=lambda: url,
        clock=issuer.clock,
        randomness=randomness,
        log=note,
    )
    return LoginWorld(issuer, service, sessions, providers, provider, other, http, log)
