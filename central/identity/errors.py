"""Refusals of authentication. All invalid tokens get the same message: a forger learns nothing."""

from pilotage.proto.problems import Code

from ..errors import Refused
from ..observe.times import shown


class NoToken(Refused):
    """The route needs a token, but the request has none. Send one."""

    def __init__(self) -> None:
        super().__init__(Code.NO_TOKEN, "this request needs a token: send Authorization: Bearer …")


class BadToken(Refused):
    """The token is malformed, revoked, or was not made by or for this central."""

    def __init__(self) -> None:
        super().__init__(Code.BAD_TOKEN, "this token is not valid here")


class KeysNeeded(BadToken):
    """The key of an outside token is unknown, and its issuer may have published it by now.

    A route that may wait calls `ProviderKeys.refresh` with the issuer, then verifies once more.
    """

    def __init__(self, issuer: str) -> None:
        super().__init__()
        self.issuer = issuer


class ExpiredToken(Refused):
    """The token was valid, but has expired. The caller needs a new one."""

    def __init__(self, whose: str, at: float, *, remedy: str = "get a new one") -> None:
        message = f"the token of {whose} expired at {shown(at)}: {remedy}"
        super().__init__(Code.EXPIRED_TOKEN, message)


class LoginEnded(Refused):
    """The session of a login has ended. The person must log in again."""

    def __init__(self, why: str) -> None:
        message = f"this login has ended: {why}; log in again with `pilotage login`"
        super().__init__(Code.EXPIRED_TOKEN, message)


class Forbidden(Refused):
    """The caller is known, but may not do this."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(Code.FORBIDDEN, message, field=field)


class Banned(Refused):
    """An operator has banned the person. No request of the person is carried out.

    The token was verified before, so the message may say why.
    """

    def __init__(self, person: str, since: float, *, who: str, reason: str = "") -> None:
        why = f" ({reason})" if reason else ""
        super().__init__(
            Code.BANNED,
            f"{person!r} has been banned from this central since {shown(since)}{why}: "
            f"ask {who!r}, who set the ban, or another operator",
        )


class BanNotFound(Refused):
    """The ban does not exist."""

    def __init__(self, ban_id: str) -> None:
        super().__init__(Code.NOT_FOUND, f"there is no ban {ban_id!r}", field="ban")


class TokenNotFound(Refused):
    """The token does not exist, or this caller may not see it."""

    def __init__(self, jti: str) -> None:
        super().__init__(Code.NOT_FOUND, f"there is no token {jti!r}")


class BadKeyFile(Exception):
    """A key file of the data directory is unreadable. The central must not start with new keys."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"{path} is not a valid key file ({why}): restore it from a backup, or remove it to "
            "make new keys"
        )


class TooManyKeys(Exception):
    """A key file is full, and each of its keys may still have valid tokens. Rotate later."""

    def __init__(self, path: str, most: int, *, kept_s: float) -> None:
        super().__init__(
            f"{path} has {most} keys, the maximum: rotate again later; a key is dropped "
            f"{kept_s / 86_400:.0f} days after its last signature"
        )
