"""Token claims, roles and how far a role reaches. WLCG profile words where the profile has them."""

import enum

import msgspec

WLCG_VERSION = "1.0"


class TokenKind(str, enum.Enum):
    """Whom a token speaks for."""

    USER = "user"
    PILOT = "pilot"


class Role(str, enum.Enum):
    """What a person may do; each includes nothing of the others, the policy table says all."""

    READER = "reader"
    USER = "user"
    MANAGER = "manager"
    OPERATOR = "operator"
    ADMIN = "admin"


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The payload of our own tokens (ES256). Unknown claims are ignored, as the profile says."""

    iss: str
    sub: str
    aud: str | tuple[str, ...]
    exp: int
    iat: int
    jti: str
    kind: TokenKind = TokenKind.USER
    name: str = ""  # for display only
    community: str = ""
    groups: tuple[
        str, ...
    ] = ()  # the groups that its owner may submit for; the first is the default
    role: Role = Role.READER
    site: str = ""  # pilots
    element: str = ""
    scope: str = ""
    wlcg_ver: str = msgspec.field(name="wlcg.ver", default="")
