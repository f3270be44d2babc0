"""The OAuth flows of the central at a provider (RFC 6749, 7636, 8628, 8693, 9207).

The central is the client; its secret never leaves it. All requests go to the addresses of the
provider's metadata.
"""

import hashlib
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Meta

from pilotage.proto.decoding.patterns import whole

from ..base64url import encoded
from .addresses import wrong_address
from .client_requests import SECONDS_MAX, ClientAccount, ClientRequests, seconds
from .metadata import Metadata
from .provider_files import ProviderClient, ProviderEntry
from .provider_http import BadProvider, NoJson

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE_GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"
INTERVAL_S: Final = 5.0  # between polls, unless the provider says otherwise (RFC 8628, 3.5)
SLOWER_S: Final = 5.0
LIFE_MAX_S: Final = 86_400.0  # a token that lives longer is renewed as if it lived so long
# Errors about the provider or our client (RFC 6749, 5.2 and 4.1.2.1)
_OF_NO_PERSON: Final = (
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "server_error",
    "temporarily_unavailable",
)
_Text = Annotated[str, Meta(max_length=65_536)]

T = TypeVar("T")

SecretOf = Callable[[str], str]  # takes the path of a file; raises OSError, ValueError


class GrantEnded(Exception):
    """The provider no longer honours a code or a refresh token. The person must log in again."""


class RequestRefused(BadProvider):
    """The provider refuses a person's request, and does not say that the grant has ended."""


class LoginDenied(Exception):
    """The person, or the provider, refused the login."""


class Waiting(Exception):
    """Nobody has confirmed the login yet. `slower`: polls come too often."""

    def __init__(self, *, slower: bool = False) -> None:
        super().__init__("not confirmed yet")
        self.slower = slower


class TokenAnswer(msgspec.Struct, frozen=True):
    """The tokens that a provider gave."""

    access_token: _Text = ""
    id_token: _Text = ""
    refresh_token: _Text = ""
    expires_in: float = 0.0  # seconds, at most LIFE_MAX_S; 0: the provider did not say


class DeviceCodes(msgspec.Struct, frozen=True):
    """The codes of a device login. People read the user code and the addresses on a terminal."""

    device_code: _Text
    user_code: Annotated[str, Meta(pattern=whole("[!-~]([ -~]{0,62}[!-~])?"))]
    verification_uri: str
    expires_in: Annotated[float, Meta(gt=0)]
    verification_uri_complete: str = ""
    interval: Annotated[float, Meta(ge=0, le=3_600)] = INTERVAL_S


class OAuth:
    """Speaks the flows. `secret_of` reads the secret of a client from its file."""

    def __init__(self, requests: ClientRequests, secret_of: SecretOf) -> None:
        self._requests, self._secret_of = requests, secret_of

    async def metadata(self, entry: ProviderEntry) -> Metadata:
        """Return the provider's metadata. Raises ProviderAway, BadProvider."""
        return await self._requests.metadata.of(entry)

    def has_device_flow(self, entry: ProviderEntry) -> bool:
        """Return whether a provider has the device flow, by its last metadata in memory.

        It is True if no metadata are known yet. This asks nobody.
        """
        found = self._requests.metadata.find(entry.issuer)
        return found is None or bool(found.device_authorization_endpoint)

    async def start_device(self, entry: ProviderEntry) -> DeviceCodes:
        """Begin a device login. Raises ProviderAway, BadProvider."""
        fields = {"scope": " ".join(entry.scopes)}
        status, answer = await self._post(entry, "device_authorization_endpoint", fields)
        if status != 200:
            raise BadProvider(f"{entry.issuer} refused to begin a device login: {error_in(answer)}")
        codes = _as(_with_seconds(answer, SECONDS_MAX), DeviceCodes, "device codes")
        for name in ("verification_uri", "verification_uri_complete"):
            uri: str = getattr(codes, name)
            wrong = wrong_address(uri) if uri or name == "verification_uri" else ""
            if wrong:
                raise BadProvider(f"{entry.issuer}: {name}: {wrong}")
        return codes

    async def poll_device(self, entry: ProviderEntry, device_code: str) -> TokenAnswer:
        """Return the tokens of a confirmed login.

        Raises Waiting, LoginDenied, GrantEnded (too late), ProviderAway, BadProvider.
        """
        fields = {"grant_type": DEVICE_GRANT, "device_code": device_code}
        status, answer = await self._token(entry, fields)
        if status == 200:
            return _tokens(answer)
        word = answer.get("error")
        if word in ("authorization_pending", "slow_down"):
            raise Waiting(slower=word == "slow_down")
        if word == "access_denied":
            raise LoginDenied(error_in(answer))
        if word in ("expired_token", "invalid_grant"):
            raise GrantEnded(error_in(answer))
        raise BadProvider(f"{entry.issuer} refused a device login: {error_in(answer)}")

    async def browser_url(
        self, entry: ProviderEntry, *, redirect: str, state: str, nonce: str, verifier: str
    ) -> str:
        """Return the address at which a person's browser begins a login.

        Raises ProviderAway, BadProvider.
        """
        found = await self.metadata(entry)
        query = {
            "response_type": "code",
            "client_id": client_of(entry).id,
            "redirect_uri": redirect,
            "scope": " ".join(entry.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
        }
        if "offline_access" in entry.scopes:
            query["prompt"] = "consent"  # OpenID Connect Core 11: needed for offline_access
        url = found.address("authorization_endpoint")
        return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"

    async def code(
        self, entry: ProviderEntry, code: str, *, redirect: str, verifier: str
    ) -> TokenAnswer:
        """Exchange the code of a browser login. Raises GrantEnded, ProviderAway, BadProvider."""
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
        }
        return await self._granted(entry, fields, "the code of a login")

    async def refresh(self, entry: ProviderEntry, refresh_token: str) -> TokenAnswer:
        """Use a refresh token. Raises GrantEnded, RequestRefused, ProviderAway, BadProvider."""
        fields = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self._granted(entry, fields, "a refresh token")

    async def userinfo(self, entry: ProviderEntry, access_token: str) -> dict[str, Any]:
        """Return the claims of the userinfo endpoint; empty if there is none.

        Raises ProviderAway, BadProvider.
        """
        if not (await self.metadata(entry)).userinfo_endpoint:
            return {}
        return await self._requests.get(entry, "userinfo_endpoint", bearer=access_token)

    async def revoke(self, entry: ProviderEntry, refresh_token: str) -> None:
        """Tell the provider that a refresh token is no longer used (RFC 7009).

        The answer may have any body (section 2.2). Raises ProviderAway, BadProvider.
        """
        if (await self.metadata(entry)).revocation_endpoint:
            fields = {"token": refresh_token, "token_type_hint": "refresh_token"}
            try:
                await self._post(entry, "revocation_endpoint", fields)
            except NoJson as why:
                if why.status != 200:
                    raise

    async def exchange(
        self, entry: ProviderEntry, access_token: str, *, audience: str, scope: str
    ) -> TokenAnswer:
        """Exchange an access token for one with another audience (RFC 8693).

        With an empty `scope`, the provider chooses. Raises GrantEnded (the provider refuses this
        audience or scope), ProviderAway, BadProvider.
        """
        fields = {
            "grant_type": EXCHANGE_GRANT,
            "subject_token": access_token,
            "subject_token_type": ACCESS_TOKEN,
            "audience": audience,
        }
        if scope:
            fields["scope"] = scope
        return await self._granted(entry, fields, "a token exchange")

    async def _granted(
        self, entry: ProviderEntry, fields: dict[str, str], what: str
    ) -> TokenAnswer:
        status, answer = await self._token(entry, fields)
        if status == 200:
            return _tokens(answer)
        if answer.get("error") in ("invalid_grant", "invalid_scope", "invalid_target"):
            raise GrantEnded(error_in(answer))
        why = f"{entry.issuer} refused {what}: {error_in(answer)}"
        raise (RequestRefused if _is_of_person(answer) else BadProvider)(why)

    async def _token(
        self, entry: ProviderEntry, fields: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        return await self._post(entry, "token_endpoint", fields)

    async def _post(
        self, entry: ProviderEntry, endpoint: str, fields: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        client = client_of(entry)
        try:
            secret = self._secret_of(client.secret_file)
        except (OSError, ValueError) as why:
            raise BadProvider(f"the client of {entry.issuer}: {why}") from None
        account = ClientAccount(
            issuer=entry.issuer, id=client.id, secret=secret, ca_file=entry.ca_file
        )
        return await self._requests.post(account, endpoint, fields)


def client_of(entry: ProviderEntry) -> ProviderClient:
    """Return the central's client. Raises BadProvider if logins are not set up."""
    if entry.client is None:
        raise BadProvider(f"{entry.issuer}: its file has no `client`, so nobody can log in there")
    return entry.client


def challenge(verifier: str) -> str:
    """Return the challenge of a verifier by the method S256 (RFC 7636, 4.2)."""
    return encoded(hashlib.sha256(verifier.encode()).digest())


def error_in(answer: dict[str, Any]) -> str:
    """Return the error of an answer (RFC 6749, 5.2), shortened to one line for messages."""
    words = (answer.get("error"), answer.get("error_description"))
    text = ": ".join(one for one in words if isinstance(one, str) and one) or "no reason given"
    return "".join(char if char.isprintable() else " " for char in text)[:300]


def _is_of_person(answer: dict[str, Any]) -> bool:
    """Return whether an error concerns a person. One without a word may come from a proxy."""
    word = answer.get("error")
    return isinstance(word, str) and bool(word) and word not in _OF_NO_PERSON


def _tokens(answer: dict[str, Any]) -> TokenAnswer:
    return _as(_with_seconds(answer, LIFE_MAX_S), TokenAnswer, "tokens")


def _with_seconds(answer: dict[str, Any], most_s: float) -> dict[str, Any]:
    """Return an answer whose `expires_in` is a number of seconds. Raises BadProvider."""
    if "expires_in" not in answer:
        return answer
    try:
        return {**answer, "expires_in": min(seconds(answer["expires_in"]), most_s)}
    except ValueError as why:
        raise BadProvider(f"the provider's answer: expires_in: {why}") from None


def _as(answer: dict[str, Any], kind: type[T], what: str) -> T:
    try:
        return msgspec.convert(answer, kind, strict=False)
    except msgspec.ValidationError as why:
        raise BadProvider(f"the provider's {what} are malformed: {why}") from None
