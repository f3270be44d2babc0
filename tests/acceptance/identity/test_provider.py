"""The provider of the tests does what tests of logins rely on."""

import base64
import hashlib
import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from pilotage.proto.trust import trusting

from . import packages
from .browser import Page, Person, Step
from .providers import (
    CLI,
    FACTORY,
    PROFILES,
    RESOURCE,
    USERS,
    WEB,
    Account,
    Away,
    RunningProvider,
    running_provider,
)

DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"
CALLBACK: Final = "http://127.0.0.1:8470/auth/callback"
SCOPE: Final = "openid profile email offline_access wlcg.groups storage.read:/ compute.create"


class Client:
    """One client of a provider, in the part of a central."""

    def __init__(self, provider: RunningProvider, client: str = WEB) -> None:
        self.provider, self.id = provider, client
        self.http = httpx.Client(
            verify=trusting(str(provider.ca_file)),
            timeout=5,
            limits=httpx.Limits(max_keepalive_connections=0),  # nothing is left to be closed
        )
        self.metadata = self.get(f"{provider.issuer}/.well-known/openid-configuration").json()

    def get(self, url: str, **headers: str) -> httpx.Response:
        return self.http.get(url, headers=headers)

    def post(self, endpoint: str, **fields: str) -> dict[str, Any]:
        """Return the JSON object of the answer, whatever its status."""
        url, secret = self.metadata[endpoint], self.provider.clients[self.id]
        if secret:
            answer = self.http.post(url, data=fields, auth=(self.id, secret)).json()
        else:
            answer = self.http.post(url, data={"client_id": self.id, **fields}).json()
        assert isinstance(answer, dict)
        return answer

    def token(self, grant: str, **fields: str) -> dict[str, Any]:
        return self.post("token_endpoint", grant_type=grant, **fields)

    def refresh(self, tokens: dict[str, Any]) -> dict[str, Any]:
        return self.token("refresh_token", refresh_token=tokens["refresh_token"])

    def keys(self) -> KeySet:
        return KeySet.import_key_set(self.get(self.metadata["jwks_uri"]).json())

    def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token with a right signature."""
        said = jws.deserialize_compact(token, self.keys(), algorithms=["ES256", "RS256"])
        claims = json.loads(said.payload)
        assert isinstance(claims, dict)
        return claims

    def by_device(
        self, login: str = "alice", scope: str = SCOPE, refuses: Step | None = None
    ) -> dict[str, Any]:
        """Log somebody in by the device flow, and return what the provider says to the client."""
        begun = self.post("device_authorization_endpoint", scope=scope)
        person = Person(login, self.provider.ca_file)
        person.walk(begun["verification_uri"], user_code=begun["user_code"], refuses=refuses)
        return self.token(DEVICE, device_code=begun["device_code"])

    def by_code(
        self, redirect: str, *, refuses: Step | None = None, login: str = "alice"
    ) -> tuple[Page, str]:
        """Let somebody log in by a browser; return where that ended, and the PKCE verifier."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        query = {
            "client_id": self.id,
            "response_type": "code",
            "redirect_uri": redirect,
            "scope": SCOPE,
            "prompt": "consent",
            "state": "the state",
            "nonce": "the nonce",
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        person = Person(login, self.provider.ca_file)
        start = f"{self.metadata['authorization_endpoint']}?{urlencode(query)}"
        return person.walk(start, until=redirect, refuses=refuses), verifier


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningProvider]:
    with running_provider(tmp_path_factory.mktemp("provider"), redirects=[CALLBACK]) as one:
        yield one


# ---- logins --------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", [WEB, CLI])
def test_a_device_gets_tokens_once_a_person_has_agreed(
    provider: RunningProvider, client: str
) -> None:
    central = Client(provider, client)
    begun = central.post("device_authorization_endpoint", scope=SCOPE)
    before = central.token(DEVICE, device_code=begun["device_code"])
    page = Person("alice", provider.ca_file).walk(begun["verification_uri_complete"])
    after = central.token(DEVICE, device_code=begun["device_code"])
    claims = central.claims(after["access_token"])

    assert (begun["interval"], before["error"]) == (1, "authorization_pending")
    assert page.status == 200 and "successful" in page.text
    assert claims["wlcg.groups"] == ["/ctao", "/ctao/prod"]
    assert (claims["sub"], claims["aud"], claims["scope"]) == ("alice", RESOURCE, SCOPE)


@pytest.mark.parametrize("step", ["login", "consent", "device"])
def test_a_device_hears_that_a_person_refused(provider: RunningProvider, step: Step) -> None:
    assert Client(provider).by_device(refuses=step)["error"] == "access_denied"


def test_a_wrong_code_of_a_device_and_an_unknown_login_end_at_their_page(
    provider: RunningProvider,
) -> None:
    central = Client(provider)
    begun = central.post("device_authorization_endpoint", scope=SCOPE)
    person = Person("nobody", provider.ca_file)
    wrong = person.walk(begun["verification_uri"], user_code="BBBB-BBBB")
    unknown = person.walk(begun["verification_uri_complete"])

    assert "incorrect" in wrong.text
    assert "unknown" in unknown.text


@pytest.mark.parametrize(
    ("client", "redirect"), [(WEB, CALLBACK), (CLI, "http://127.0.0.1:45871/callback")]
)
def test_a_browser_brings_a_code_that_only_the_right_verifier_redeems(
    provider: RunningProvider, client: str, redirect: str
) -> None:
    central = Client(provider, client)
    back, verifier = central.by_code(redirect)
    code = {"code": back.query["code"], "redirect_uri": redirect}
    tokens = central.token("authorization_code", **code, code_verifier=verifier)
    again = central.token("authorization_code", **code, code_verifier=verifier)
    other, _ = central.by_code(redirect)
    code = {"code": other.query["code"], "redirect_uri": redirect}
    wrong = central.token("authorization_code", **code, code_verifier="x" * 43)

    assert back.address.startswith(redirect) and back.status == 0
    assert (back.query["state"], back.query["iss"]) == ("the state", provider.issuer)
    assert central.claims(tokens["id_token"])["nonce"] == "the nonce"
    assert (again["error"], wrong["error"]) == ("invalid_grant", "invalid_grant")


@pytest.mark.parametrize("step", ["login", "consent"])
def test_a_browser_comes_back_with_a_refusal(provider: RunningProvider, step: Step) -> None:
    back, _ = Client(provider).by_code(CALLBACK, refuses=step)

    assert back.query["error"] == "access_denied"
    assert back.query["state"] == "the state"


def test_logins_return_only_to_known_addresses(provider: RunningProvider) -> None:
    elsewhere, _ = Client(provider).by_code("http://127.0.0.1:9999/auth/callback")
    provider.set_redirects(CALLBACK, "http://127.0.0.1:9999/auth/callback")
    known, _ = Client(provider).by_code("http://127.0.0.1:9999/auth/callback")

    assert elsewhere.status == 400
    assert "code" in known.query


# ---- tokens --------------------------------------------------------------------------------------


def test_a_refresh_token_rotates_and_a_replay_ends_its_family(provider: RunningProvider) -> None:
    central = Client(provider)
    first = central.by_device()
    second = central.refresh(first)
    replay = central.refresh(first)
    family = central.refresh(second)

    assert second["refresh_token"] != first["refresh_token"]
    assert (replay["error"], family["error"]) == ("invalid_grant", "invalid_grant")


def test_a_provider_may_keep_its_refresh_tokens(tmp_path: Path) -> None:
    with running_provider(tmp_path, rotates=False, access_s=120, path="/realms/test") as kept:
        central = Client(kept)
        first = central.by_device()
        second = central.refresh(first)

        assert kept.issuer.endswith("/realms/test") and kept.issuer == central.metadata["issuer"]
        assert second["refresh_token"] == first["refresh_token"]
        assert second["expires_in"] == 120


def test_a_refresh_shows_the_groups_of_today_and_ends_for_those_who_left(
    provider: RunningProvider,
) -> None:
    central = Client(provider)
    tokens = central.by_device()
    try:
        provider.set_users({"alice": Account(("/ctao/other",))})
        moved = central.refresh(tokens)
        provider.set_users({"bob": Account()})
        gone = central.refresh(moved)
    finally:
        provider.set_users(USERS)

    assert central.claims(moved["access_token"])["wlcg.groups"] == ["/ctao/other"]
    assert central.claims(moved["id_token"])["wlcg.groups"] == ["/ctao/other"]
    assert gone["error"] == "invalid_grant"


def test_a_robot_gets_a_token_for_the_audience_that_it_names(provider: RunningProvider) -> None:
    robot = Client(provider, FACTORY)
    got = robot.token("client_credentials", scope="compute.create", resource="https://ce.test")
    claims = robot.claims(got["access_token"])

    assert (claims["sub"], claims["aud"]) == (FACTORY, "https://ce.test")
    assert (claims["scope"], claims["wlcg.ver"]) == ("compute.create", "1.0")
    assert "wlcg.groups" not in claims


#    scope                                    given
EXCHANGES: Final = [
    ("storage.read:/ctao/run1", True),
    ("storage.read:/ compute.create", True),
    ("storage.modify:/ctao", False),
    ("storage.read:/ctao compute.cancel", False),
    ("storage.read:/ctao/../other", False),
]


@pytest.mark.parametrize(("scope", "is_given"), EXCHANGES)
def test_an_exchange_gives_no_more_than_a_token_has(
    provider: RunningProvider, scope: str, is_given: bool
) -> None:
    robot = Client(provider, FACTORY)
    subject = provider.mint(claims={"sub": "alice", "scope": SCOPE})
    answer = robot.token(
        EXCHANGE,
        subject_token=subject,
        subject_token_type=ACCESS_TOKEN,
        audience="https://se.test",
        scope=scope,
    )

    if is_given:
        claims = robot.claims(answer["access_token"])
        expected = ("alice", "https://se.test", scope)
        assert (claims["sub"], claims["aud"], claims["scope"]) == expected
    else:
        assert answer["error"] == "invalid_scope"


def test_an_exchange_refuses_a_token_that_is_over(provider: RunningProvider) -> None:
    robot = Client(provider, FACTORY)
    over = provider.mint(claims={"sub": "alice", "scope": SCOPE, "exp": int(time.time()) - 1})
    answer = robot.token(EXCHANGE, subject_token=over, subject_token_type=ACCESS_TOKEN)

    assert answer["error"] == "invalid_grant"


def test_any_header_and_claims_are_signed(provider: RunningProvider) -> None:
    central = Client(provider)
    token = provider.mint({"typ": None, "cty": "x"}, {"sub": 7, "jti": None, "aud": ["a", "b"]})
    rsa = provider.mint({"alg": "RS256"}, {"sub": "alice"})
    header = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    claims = central.claims(token)

    assert header.keys() == {"alg", "kid", "cty"}
    assert (claims["sub"], claims["aud"], "jti" in claims) == (7, ["a", "b"], False)
    assert central.claims(rsa)["sub"] == "alice"


# ---- profiles ------------------------------------------------------------------------------------

URN: Final = "urn:mace:egi.eu:group:ctao{}:role=member#aai.egi.eu"
#    scope beside openid, claim, its value for alice, whether access tokens have it
GROUPS: Final[dict[str, tuple[str, str, Any, bool]]] = {
    "wlcg": ("wlcg.groups", "wlcg.groups", ["/ctao", "/ctao/prod"], True),
    "iam": ("profile", "groups", ["ctao", "ctao/prod"], False),
    "keycloak": ("profile", "realm_access", {"roles": ["pilotage-manager"]}, True),
    "egi": (
        "eduperson_entitlement",
        "eduperson_entitlement",
        [URN.format(""), URN.format(":prod")],
        False,
    ),
    "cilogon": ("profile", "isMemberOf", ["ctao", "ctao/prod"], False),
}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_tells_groups_in_its_own_way(profile: str, tmp_path: Path) -> None:
    scope, name, value, in_access_token = GROUPS[profile]
    with running_provider(tmp_path, profile) as provider:
        central = Client(provider)
        tokens = central.by_device(scope=f"openid email {scope}")
        identity = central.claims(tokens["id_token"])
        access = central.claims(tokens["access_token"])
        bearer = f"Bearer {tokens['access_token']}"
        userinfo = central.get(central.metadata["userinfo_endpoint"], authorization=bearer).json()
        subject = provider.subject("alice")

    assert (identity[name], userinfo[name]) == (value, value)
    assert access.get(name) == (value if in_access_token else None)
    assert {identity["sub"], access["sub"], userinfo["sub"]} == {subject}
    assert (identity["email"], identity["email_verified"]) == ("alice@example.org", True)
    assert (subject == "alice") == (profile in ("wlcg", "iam", "keycloak"))


# ---- keys and outages ----------------------------------------------------------------------------


def test_new_keys_stand_in_front_and_old_ones_stay_unless_withdrawn(
    provider: RunningProvider,
) -> None:
    central = Client(provider)
    before = provider.mint()
    old = [key.kid for key in central.keys().keys]
    provider.rotate()
    both = [key.kid for key in central.keys().keys]
    central.claims(before)
    central.claims(provider.mint())
    provider.rotate(withdraw=True)
    new = [key.kid for key in central.keys().keys]

    assert both[2:] == old and len(both) == 4
    assert len(new) == 2 and not {*new} & {*both}


def test_a_provider_that_was_stopped_has_its_port_its_keys_and_its_grants(
    provider: RunningProvider,
) -> None:
    central = Client(provider)
    tokens = central.by_device()
    keys = [key.kid for key in central.keys().keys]
    provider.stop()
    with pytest.raises(httpx.ConnectError):
        central.refresh(tokens)
    provider.start()

    assert [key.kid for key in central.keys().keys] == keys
    assert central.claims(central.refresh(tokens)["access_token"])["sub"] == "alice"


@pytest.mark.parametrize("kind", ["refuse", "hang", "error"])
def test_a_provider_is_away_in_three_ways_and_comes_back(
    provider: RunningProvider, kind: Away
) -> None:
    central = Client(provider)
    tokens = central.by_device()
    central.http.timeout = httpx.Timeout(0.3)
    provider.away(kind)
    try:
        seen = str(central.get(provider.issuer + "/jwks").status_code)
    except httpx.TransportError as problem:
        seen = type(problem).__name__
    provider.back()
    central.http.timeout = httpx.Timeout(5)

    assert seen == {"refuse": "ConnectError", "hang": "ReadTimeout", "error": "503"}[kind]
    assert "access_token" in central.refresh(tokens)


def test_requests_are_counted_by_path_and_grant(provider: RunningProvider) -> None:
    central, robot = Client(provider), Client(provider, FACTORY)
    keys, tokens = len(provider.requests("/jwks")), len(provider.requests("/token"))
    central.keys()
    robot.token("client_credentials", scope="compute.create")
    central.token("refresh_token", refresh_token="unknown")

    assert len(provider.requests("/jwks")) == keys + 1
    assert [one[2:] for one in provider.requests("/token")[tokens:]] == [
        (200, "client_credentials", FACTORY),
        (400, "refresh_token", WEB),
    ]


# ---- its packages --------------------------------------------------------------------------------


def test_two_that_begin_at_once_install_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []

    def install(folder: Path) -> None:
        begun.append(folder)
        time.sleep(0.1)
        (folder / "ready").write_bytes((packages.HERE / packages.FILES[1]).read_bytes())

    monkeypatch.setattr(packages, "_install", install)
    threads = [threading.Thread(target=packages.installed, args=(tmp_path,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert begun == [tmp_path]


def test_the_command_of_the_makefile_ends_well_if_all_is_there() -> None:
    command = [sys.executable, "-m", "tests.acceptance.identity.packages"]
    done = subprocess.run(command, cwd=packages.HERE.parents[2], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, packages.missing())


def test_a_registry_out_of_reach_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    with pytest.raises(packages.PackagesMissing) as raised:
        packages.installed(tmp_path / "modules")

    assert "ECONNREFUSED" in str(raised.value)
    assert "python -m tests.acceptance.identity.packages" in str(raised.value)
