"""What is secret is struck out of what elements and programs say, before anybody reads it.

An element that refuses a request may repeat all of it, a program may print its token before it
fails, and what they say goes to logs, to rows and to people.
"""

import re
from collections import deque
from collections.abc import Iterable
from typing import Final

from .credential import Credential, CredentialSource

INSTEAD: Final = "[struck out]"
ENOUGH: Final = 12  # so many letters of it tell a secret that was cut from any other word
KEPT: Final = 4  # credentials: what is said now may be about one that was renewed since
# Three parts with points between: a JSON web token, whole or cut, whoever it is of.
_TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*){0,4}")
_BEARER: Final = re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}")
_KEY: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)(-----END|\Z)", re.S)


def struck(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without these secrets, their beginnings and ends, and without any token."""
    for secret in secrets:
        for piece in _pieces(secret):
            text = _without(text, piece)
    return _BEARER.sub(rf"\1{INSTEAD}", _TOKEN.sub(INSTEAD, _KEY.sub(INSTEAD, text)))


def _pieces(secret: str) -> list[str]:
    """Return what of a credential is secret: of a chain in PEM its key, line by line."""
    keys = [found.group(1) for found in _KEY.finditer(secret)]
    return [one for one in "\n".join(keys or [secret]).split() if len(one) >= ENOUGH]


def _without(text: str, piece: str) -> str:
    text = text.replace(piece, INSTEAD)
    text = _without_beginning(text, piece)
    return _without_beginning(text[::-1], piece[::-1], INSTEAD[::-1])[::-1]


def _without_beginning(text: str, piece: str, instead: str = INSTEAD) -> str:
    beginning, at = piece[:ENOUGH], 0
    while (at := text.find(beginning, at)) >= 0:
        end = ENOUGH
        while end < len(piece) and text[at + end : at + end + 1] == piece[end]:
            end += 1
        text = text[:at] + instead + text[at + end :]
        at += len(instead)
    return text


class RecentCredentials:
    """A source of credentials that knows what it gave lately."""

    def __init__(self, source: CredentialSource) -> None:
        self._source = source
        self.secrets: deque[str] = deque(maxlen=KEPT)

    async def current(self) -> Credential:
        """Return what the source gives. Raises CredentialExpired."""
        found = await self._source.current()
        if found.text not in self.secrets:
            self.secrets.append(found.text)
        return found
