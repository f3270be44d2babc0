"""A token that this installation signs itself, with the claims of the WLCG profile 1.0.

The site trusts this issuer. It fetches the issuer's keys from the central, or has a copy.
"""

import asyncio
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from pilotage.proto.claims import WLCG_VERSION
from pilotage.proto.decoding.patterns import whole

from ...identity.errors import BadKeyFile
from ...ports import Clock
from ..credential import Credential
from ..errors import CredentialExpired

RENEWED_PART = 0.5  # of its life: then a new token is signed
EARLY_S = 30  # the site's clock may be slow
_SIGNS = "ASCII letters, digits and signs, at least one, and no space"
_Audience = Annotated[str, Meta(pattern=whole("[!-~]+"), max_length=512, description=_SIGNS)]
Scope = Annotated[  # of RFC 6749
    str,
    Meta(
        pattern=whole(r"[!#-\[\]-~]+"),
        max_length=256,
        description="one scope: ASCII letters, digits and signs except space, quote and backslash",
    ),
]
COMPUTE = ("compute.read", "compute.modify", "compute.create", "compute.cancel")


class IssuedOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of the source `issuer`."""

    audience: _Audience | Annotated[tuple[_Audience, ...], Meta(min_length=1, max_length=16)]
    subject: Annotated[str, Meta(pattern=whole("[!-~]+"), max_length=255, description=_SIGNS)] = (
        "pilotage-factory"
    )
    scope: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=32)] = COMPUTE
    # A text, as in the profile. ARC 7.0 with `tokenscopes` accepts only a list.
    scope_form: Literal["text", "list"] = "text"
    lifetime_s: Annotated[float, Meta(ge=300, le=86_400)] = 3_600.0
    # The URL at which sites find the keys, if not the central's; they must be able to reach it.
    issuer: Annotated[
        str,
        Meta(
            pattern=whole("(https://[!-~]+)?"),
            max_length=512,
            description="a URL such as https://host:port/path",
        ),
    ] = ""


class Signer(Protocol):
    """The issuer of this installation."""

    @property
    def name(self) -> str: ...

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a token. Raises BadKeyFile, OSError."""
        ...


class IssuedSource:
    """Signs a token, and a new one before it expires."""

    def __init__(self, options: IssuedOptions, signer: Signer, clock: Clock) -> None:
        self._options, self._signer, self._clock = options, signer, clock
        self._kept: Credential | None = None
        self._again_at = 0.0  # clock.wall()

    async def current(self) -> Credential:
        """Return a token that is still valid for a while. Raises CredentialExpired."""
        now = self._clock.wall()
        if self._kept is None or not self._again_at - self._kept_s <= now < self._again_at:
            self._kept = await asyncio.to_thread(self._sign, now)
            self._again_at = now + self._kept_s
        return self._kept

    @property
    def _kept_s(self) -> float:
        return RENEWED_PART * self._options.lifetime_s

    def _sign(self, now: float) -> Credential:
        options = self._options
        until = int(now + options.lifetime_s)
        claims: dict[str, Any] = {
            "iss": options.issuer or self._signer.name,
            "sub": options.subject,
            "aud": options.audience,
            "iat": int(now),
            "nbf": int(now) - EARLY_S,
            "exp": until,
            "scope": options.scope if options.scope_form == "list" else " ".join(options.scope),
            "wlcg.ver": WLCG_VERSION,
        }
        try:
            return Credential(self._signer.sign(claims), float(until))
        except (BadKeyFile, OSError) as why:
            raise CredentialExpired(f"cannot sign a token: {why}") from None
