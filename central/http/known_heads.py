"""Request heads that a connection has sent before, apart from the token and the body's length.

A pilot repeats the same request line and headers thousands of times. Behind a proxy, one connection
carries the requests of many pilots. A head whose bytes equal those of a parsed head needs no
parser: only the token and the length have to be read. Tokens are not kept.
"""

import re
from collections.abc import Container, Iterable
from typing import Any, Final, NamedTuple

from ..bounded_cache import BoundedCache
from .answers import JSON
from .body import header
from .direct_answers import DirectRequest

AsgiScope = dict[str, Any]

HEADS_MAX: Final = 4  # for each connection: one pilot's heads, or those of many behind a proxy
_TOKEN: Final = re.compile(rb"\r\n[Aa]uthorization: ([\x21-\x7e]+(?: [\x21-\x7e]+)?)\r\n")
_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,7})\r\n")
_END: Final = b"\r\n\r\n"
_UNUSUAL: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"trailer"})


class _Parts(NamedTuple):
    """A whole request, split up."""

    key: bytes  # the head without the two values below
    token: bytes  # the value of the header authorization
    length: bytes
    body: bytes


class KnownHeads:
    """The known heads of one connection, with the paths that the parser found in them."""

    __slots__ = ("_hot", "_kept")

    def __init__(self, hot: Container[str]) -> None:
        """`hot` holds the paths whose heads are kept."""
        self._hot = hot
        self._kept = BoundedCache[bytes, str](HEADS_MAX)

    def find(self, data: bytes) -> DirectRequest | None:
        """Return the request in `data` if it is whole and its head is known, else None."""
        if not self._kept:
            return None
        parts = _parts(data)
        path = self._kept.find(parts.key) if parts is not None else None
        if parts is None or path is None:
            return None
        return DirectRequest(path, parts.token.decode("latin-1"), parts.body)

    def keep(self, data: bytes, scope: AsgiScope) -> None:
        """Keep the head of a parsed request if `data` held exactly that request."""
        if scope["method"] != "POST" or scope["path"] not in self._hot or scope["query_string"]:
            return
        parts = _parts(data)
        if parts is None or parts.key in self._kept or not _is_usual(scope["headers"], parts):
            return
        if header(scope["headers"], b"content-type") != JSON:  # other valid types are rare
            return
        self._kept[parts.key] = scope["path"]


def _parts(data: bytes) -> _Parts | None:
    """Split `data` if it is one whole request and nothing follows, else return None."""
    end = data.find(_END)
    if end < 0:
        return None
    length = _LENGTH.search(data, 0, end + 2)
    token = _TOKEN.search(data, 0, end + 2)
    if length is None or token is None or int(length[1]) != len(data) - end - 4:
        return None
    one, two = (token, length) if token.start() < length.start() else (length, token)
    # Each value has a header line, and `keep` checks that no other line has its name. Two heads
    # that are equal without the values therefore have them in the same places.
    key = data[: one.start(1)] + data[one.end(1) : two.start(1)] + data[two.end(1) : end]
    return _Parts(key, token[1], length[1], data[end + 4 :])


def _is_usual(headers: Iterable[tuple[bytes, bytes]], parts: _Parts) -> bool:
    """Return whether each value occurs once, and no other header changes where the body ends."""
    pairs = [(name, value) for name, value in headers]
    names = [name for name, _ in pairs]
    return (
        names.count(b"content-length") == names.count(b"authorization") == 1
        and (b"content-length", parts.length) in pairs
        and (b"authorization", parts.token) in pairs
        and not _UNUSUAL & set(names)
    )
