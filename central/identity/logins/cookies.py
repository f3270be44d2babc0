"""Cookies of browsers: of a login that has begun, and of a session (RFC 6265).

Over https the names have the prefix `__Host-`. A browser accepts such a cookie only from this host,
with Secure and for all paths, so no neighbouring host can set it. Plain http, which serves this
machine alone, has no such prefix.
"""

from typing import Final

LOGIN: Final = "pilotage-login"
SESSION: Final = "pilotage-session"
LOGIN_S: Final = 600
_PREFIX: Final = "__Host-"


def set_cookie(
    name: str, value: str, *, is_secure: bool, life_s: int | None = None
) -> tuple[bytes, bytes]:
    """Return the header that sets a cookie; without `life_s` it goes with the browser."""
    text = f"{_PREFIX * is_secure}{name}={value}; Path=/; HttpOnly; SameSite=Lax"
    if life_s is not None:
        text += f"; Max-Age={life_s}"
    return b"set-cookie", (text + "; Secure" * is_secure).encode()


def cookie(header: str, name: str, *, is_secure: bool) -> str:
    """Return the value of a cookie, or an empty text. A name that comes twice has no value."""
    wanted = f"{_PREFIX * is_secure}{name}"
    found = [
        value.strip()
        for part in header.split(";")
        for key, _, value in [part.partition("=")]
        if key.strip() == wanted
    ]
    return found[0] if len(found) == 1 else ""
