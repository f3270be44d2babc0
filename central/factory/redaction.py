"""Strikes secrets out of the texts of elements and programs, before they are stored or shown.

An element that refuses a request may repeat all of it, and a program may print its token before it
fails. Such texts appear in logs, in the store and in answers to users.
"""

import re
from collections import deque
from collections.abc import Iterable
from typing import Final

from .credential import Credential, CredentialSource

INSTEAD: Final = "[struck out]"
ENOUGH: Final = 12  # this many letters identify a part of a secret
KEPT: Final = 4  # recent credentials: a text may be about one before the last renewal
# Three parts with dots between them: a JSON web token, whole or cut, from any issuer.
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
    """Return the secret parts of a credential: of a PEM chain the lines of its key."""
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
    """A source of credentials that remembers the last ones."""

    def __init__(self, source: CredentialSource) -> None:
        self._source = source
        self.secrets: deque[str] = deque(maxlen=KEPT)

    async def current(self) -> Credential:
        """Return a credential from the source. Raises CredentialExpired."""
        found = await self._source.current()
        if found.text not in self.secrets:
            self.secrets.append(found.text)
        return found
