"""Token claims, roles, and how far a role reaches. Claims of the WLCG profile keep its names."""

import enum

import msgspec

WLCG_VERSION = "1.0"


class TokenKind(str, enum.Enum):
    """The kind of owner of a token."""

    USER = "user"
    PILOT = "pilot"


class Role(str, enum.Enum):
    """A role of a person. No role includes another: the policy table lists all rights."""

    READER = "reader"
    USER = "user"
    MANAGER = "manager"
    OPERATOR = "operator"
    ADMIN = "admin"


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The payload of the central's own tokens (ES256). Unknown claims are ignored."""

    iss: str
    sub: str
    aud: str | tuple[str, ...]
    exp: int
    iat: int
    jti: str
    kind: TokenKind = TokenKind.USER
    name: str = ""  # for display only
    community: str = ""
    groups: tuple[str, ...] = ()  # groups that its owner may submit for; the first is the default
    role: Role = Role.READER
    site: str = ""  # for pilots only
    element: str = ""
    scope: str = ""
    idp: str = ""  # issuer of a person who logged in through a provider; empty: `iss`
    sid: str = ""  # session that the token belongs to
    wlcg_ver: str = msgspec.field(name="wlcg.ver", default="")
