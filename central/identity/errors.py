"""What auth refuses. One message for all that is wrong with a token: a forger learns nothing."""

from pilotage.proto.problems import Code

from ..errors import Refused


class NoToken(Refused):
    """The route needs a token and there was none."""

    def __init__(self) -> None:
        super().__init__(Code.NO_TOKEN, "this needs a token: Authorization: Bearer …")


class BadToken(Refused):
    """Not signed by us, not for us, revoked, or not a token at all. Get another one."""

    def __init__(self) -> None:
        super().__init__(Code.BAD_TOKEN, "this token is not valid here")


class ExpiredToken(Refused):
    """It was good once. Get a fresh one."""

    def __init__(self) -> None:
        super().__init__(Code.EXPIRED_TOKEN, "this token has expired")


class Forbidden(Refused):
    """The caller is known and has not the right."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(Code.FORBIDDEN, message, field=field)


class TokenNotFound(Refused):
    """No such token, or none that this caller may see."""

    def __init__(self, jti: str) -> None:
        super().__init__(Code.NOT_FOUND, f"there is no token {jti!r}")


class BadKeyFile(Exception):
    """A key file of the data directory cannot be read. The central must not start with others."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} is no key file ({why}): restore it, or remove it for new keys")
