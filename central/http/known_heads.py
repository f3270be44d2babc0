"""Heads of requests that a connection has sent before, but for token and length of the body.

A pilot says some thousand times the same request line and headers; behind a proxy, one connection
speaks for many pilots. Once the parser has read a head, bytes that are equal need no parser: what
is left to read is whose token it is, and one number. Tokens are not kept.
"""

import re
from collections.abc import Container, Iterable
from typing import Any, Final, NamedTuple

from .answers import JSON
from .body import header
from .direct_answers import DirectRequest

Scope = dict[str, Any]

HEADS_MAX: Final = 4  # of one connection: what a pilot says, or many behind one proxy
_TOKEN: Final = re.compile(rb"\r\n[Aa]uthorization: ([\x21-\x7e]+(?: [\x21-\x7e]+)?)\r\n")
_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,7})\r\n")
_END: Final = b"\r\n\r\n"
_UNUSUAL: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"trailer"})


class _Parts(NamedTuple):
    """A whole request."""

    key: bytes  # its head without the two values that are cut out of it
    token: bytes  # all that its authorization says
    length: bytes
    body: bytes


class KnownHeads:
    """The heads of one connection, each with the path that the parser found in it."""

    __slots__ = ("_hot", "_kept")

    def __init__(self, hot: Container[str]) -> None:
        """`hot`: the paths whose heads are kept."""
        self._hot = hot
        self._kept: dict[bytes, str] = {}

    def find(self, data: bytes) -> DirectRequest | None:
        """Return the request that is whole in `data`, if its head is known."""
        if not self._kept:
            return None
        parts = _parts(data)
        path = self._kept.get(parts.key) if parts is not None else None
        if parts is None or path is None:
            return None
        return DirectRequest(path, parts.token.decode("latin-1"), parts.body)

    def keep(self, data: bytes, scope: Scope) -> None:
        """Keep the head of a request that was all that `data` had, read by the parser."""
        if scope["method"] != "POST" or scope["path"] not in self._hot or scope["query_string"]:
            return
        parts = _parts(data)
        if parts is None or parts.key in self._kept or not _is_usual(scope["headers"], parts):
            return
        if header(scope["headers"], b"content-type") != JSON:  # whatever else is right is rare
            return
        if len(self._kept) >= HEADS_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[parts.key] = scope["path"]


def _parts(data: bytes) -> _Parts | None:
    """Take a head apart, if it is whole, and the body too, and nothing follows."""
    end = data.find(_END)
    if end < 0:
        return None
    length = _LENGTH.search(data, 0, end + 2)
    token = _TOKEN.search(data, 0, end + 2)
    if length is None or token is None or int(length[1]) != len(data) - end - 4:
        return None
    one, two = (token, length) if token.start() < length.start() else (length, token)
    # Each stands in a line of its own, and `keep` sees to it that no other line has its name: so
    # heads that are equal without the two have them in the same places.
    key = data[: one.start(1)] + data[one.end(1) : two.start(1)] + data[two.end(1) : end]
    return _Parts(key, token[1], length[1], data[end + 4 :])


def _is_usual(headers: Iterable[tuple[bytes, bytes]], parts: _Parts) -> bool:
    """Whether the parser saw what was cut out, once each, and nothing else says where it ends."""
    told = [(name, value) for name, value in headers]
    names = [name for name, _ in told]
    return (
        names.count(b"content-length") == names.count(b"authorization") == 1
        and (b"content-length", parts.length) in told
        and (b"authorization", parts.token) in told
        and not _UNUSUAL & set(names)
    )
