"""A token that a provider gives to the central as its client (RFC 6749 section 4.4).

The central fetches a new token before half of the life of the last one has passed. If the provider
is away or refuses, the last token stays in use to its end.
"""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from pilotage.proto.decoding.patterns import whole

from ...identity.providers.client_requests import ClientAccount, ClientRequests, seconds
from ...identity.providers.provider_http import BadProvider, ProviderAway
from ...ports import Clock, Randomness
from ..credential import Credential
from ..errors import CredentialExpired
from ..file_reader import ReaderThread
from .files import FilePath, check_left, read_in, read_private
from .issued_tokens import COMPUTE, Scope
from .lifetime import expires_at

RENEWED_PART: Final = (0.4, 0.49)  # of its life, at random: elements do not ask together
AGAIN_S: Final = (15.0, 30.0)  # after a failure, at random
KEPT_S: Final = 300.0  # for a token without a known end
FETCH_S: Final = 10.0  # for a token in all, as for one request to a provider
LIFE_MAX_S: Final = 400 * 86_400.0
_TOKEN: Final = re.compile("[!-~]{1,16384}")
_WORD: Final = re.compile(r"[ !#-\[\]-~]{1,64}")  # of an error: RFC 6749 section 5.2
_SIGNS: Final = "ASCII letters, digits and signs"


class ClientOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of the source `client`."""

    issuer: Annotated[
        str,
        Meta(
            pattern=whole(
                r"https://[!-~]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?(/[!-~]*)?"
            ),
            max_length=512,
            description="a URL such as https://host/path (http only for this machine)",
        ),
    ]
    id: Annotated[str, Meta(pattern=whole("[!-~]+"), max_length=256, description=_SIGNS)]
    secret_file: FilePath  # only its owner may read it
    audience: Annotated[str, Meta(pattern=whole("[!-~]*"), max_length=512, description=_SIGNS)] = ""
    # The name under which the provider takes the audience; `resource` is that of RFC 8707.
    audience_parameter: Literal["audience", "resource"] = "audience"
    scope: Annotated[tuple[Scope, ...], Meta(max_length=32)] = COMPUTE
    # Authorities of the provider, if the system does not know them.
    ca_file: Annotated[
        str,
        Meta(
            pattern=whole(r"(/[^\x00-\x1f\x7f]+)?"),
            max_length=1024,
            description="an absolute path without control characters",
        ),
    ] = ""


class ClientSource:
    """Fetches a token, and a new one before it expires."""

    def __init__(
        self, options: ClientOptions, requests: ClientRequests, clock: Clock, randomness: Randomness
    ) -> None:
        self._options, self._requests = options, requests
        self._clock, self._randomness = clock, randomness
        self._reader = ReaderThread()
        self._kept: Credential | None = None
        self._failure = ""  # of the last fetch
        # On clock.monotonic(): when the last token is replaced, and before that if it is over.
        self._again_at = self._soon_at = 0.0
        self._fetching: asyncio.Future[None] | None = None

    async def current(self) -> Credential:
        """Return the last token of the provider, or fetch a new one. Raises CredentialExpired."""
        while self._fetching is not None and not self._is_usable():
            await asyncio.wait([self._fetching])
        if self._fetching is None and self._is_due():
            await self._renew()
        return self._valid()

    def _is_due(self) -> bool:
        """Return whether to fetch a token now."""
        now = self._clock.monotonic()
        return now >= self._again_at or (now >= self._soon_at and not self._is_usable())

    async def _renew(self) -> None:
        """Fetch a token, or note why there is none."""
        self._fetching = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(FETCH_S):
                self._kept = await self._fetched()
            self._failure = ""
        except TimeoutError:
            self._failure = f"{self._options.issuer}: gave no token within {FETCH_S:g} s"
        except (ProviderAway, BadProvider) as why:
            self._failure = str(why)
        except CredentialExpired as why:
            self._failure = why.why
        finally:
            self._fetching.set_result(None)
            self._fetching = None
        now = self._clock.monotonic()
        self._soon_at = now + self._randomness.uniform(*AGAIN_S)
        self._again_at = max(self._soon_at, now + self._kept_s())

    def _kept_s(self) -> float:
        """Return the seconds after which a token that was just fetched is replaced."""
        if self._failure or self._kept is None:
            return 0.0
        if self._kept.expires_at is None:
            return KEPT_S
        life_s = self._kept.expires_at - self._clock.wall()
        return self._randomness.uniform(*RENEWED_PART) * life_s

    def _is_usable(self) -> bool:
        try:
            self._valid()
        except CredentialExpired:
            return False
        return True

    def _valid(self) -> Credential:
        """Return the last token if it is not over. Raises CredentialExpired."""
        kept = self._kept
        if kept is None:
            raise CredentialExpired(self._failure)
        if kept.expires_at is None:
            return kept
        try:
            check_left(kept.expires_at, f"{self._options.issuer}: its last token", self._clock)
        except CredentialExpired as over:
            why = f"{self._failure}; {over.why}" if self._failure else over.why
            raise CredentialExpired(why, over.ended_at) from None
        return kept

    async def _fetched(self) -> Credential:
        """Return a new token. Raises ProviderAway, BadProvider, CredentialExpired."""
        options, file = self._options, Path(self._options.secret_file)
        secret = await read_in(self._reader, file, lambda: read_private(file))
        account = ClientAccount(
            issuer=options.issuer, id=options.id, secret=secret, ca_file=options.ca_file
        )
        fields = {"grant_type": "client_credentials"}
        if options.scope:
            fields["scope"] = " ".join(options.scope)
        if options.audience:
            fields[options.audience_parameter] = options.audience
        asked_at = self._clock.wall()
        status, answer = await self._requests.post(account, "token_endpoint", fields)
        if not 200 <= status < 300:
            word = _error_word(answer, secret) or f"status {status}"
            raise CredentialExpired(f"{options.issuer}: refused the client {options.id!r}: {word}")
        return _token(answer, options.issuer, asked_at)


def _error_word(answer: Mapping[str, Any], secret: str) -> str:
    """Return the provider's word for a refusal, or an empty string. It has no secret."""
    word = answer.get("error")
    if not isinstance(word, str) or not _WORD.fullmatch(word) or secret in word:
        return ""
    return word


def _token(answer: Mapping[str, Any], issuer: str, asked_at: float) -> Credential:
    """Return the token of an answer (RFC 6749 section 5.1). Raises BadProvider."""
    text, kind = answer.get("access_token"), answer.get("token_type")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise BadProvider(f"{issuer}: its answer has no valid access_token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        found = f"{kind!r}"[:80]
        raise BadProvider(f"{issuer}: token_type: found {found}, expected 'Bearer'")
    if "expires_in" not in answer:
        return Credential(text, expires_at(text))
    return Credential(text, asked_at + _life_s(answer["expires_in"], issuer))


def _life_s(found: object, issuer: str) -> float:
    """Return a lifetime. Raises BadProvider."""
    try:
        life_s = seconds(found)
    except ValueError as why:
        raise BadProvider(f"{issuer}: expires_in: {why}") from None
    if not 0 < life_s <= LIFE_MAX_S:
        right = f"expected seconds, at most {LIFE_MAX_S:.0f}"
        raise BadProvider(f"{issuer}: expires_in: found {f'{found!r}'[:80]}, {right}")
    return life_s
