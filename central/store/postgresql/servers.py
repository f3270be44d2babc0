"""The servers that a URL names in libpq's form, and the order in which to try them."""

from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

PORT_MAX: Final = 65_535
URLS_MAX: Final = 64  # URLs whose order of servers is remembered


class Server(NamedTuple):
    """One of several servers."""

    host: str  # or the folder of a socket
    port: int | None = None  # None: the default port

    def __str__(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"


class Servers:
    """Several servers, of which one is the primary. A server that failed moves to the end.

    A dead machine therefore costs its timeout only once, and the last one that answered is tried
    first. Threads share this object; an update may be lost, and is then repeated.
    """

    def __init__(self, named: tuple[Server, ...]) -> None:
        self._order = named

    @property
    def order(self) -> tuple[Server, ...]:
        """The order in which to try them. Empty or one server: the URL is used as it is."""
        return self._order

    def failed(self, one: Server) -> None:
        """Move a server that did not answer, or is not the primary, to the end."""
        self._order = (*(other for other in self._order if other != one), one)


@lru_cache(URLS_MAX)
def servers_of(url: str) -> Servers:
    """Return the servers of a URL, shared by all its connections. Raises ValueError: wrong port."""
    return Servers(named_by(url))


def named_by(url: str) -> tuple[Server, ...]:
    """Return the servers in a URL in order: `//one:5432,two:5432/`, or for sockets
    `?host=/one,/two`. If servers and ports do not match, return none; connecting then fails.

    Raises ValueError for a wrong port.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    before = parts.netloc.rpartition("@")[2]
    words = unquote(before) if before else query.get("host", "")
    named = [_host_and_port(word) for word in words.split(",") if word]
    ports = query.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(named)
    if len(ports) != len(named):
        return ()
    return tuple(
        Server(host, _port(port or usual)) for (host, port), usual in zip(named, ports, strict=True)
    )


def _port(word: str) -> int | None:
    if not word:
        return None
    if not (word.isascii() and word.isdigit()) or not 1 <= int(word) <= PORT_MAX:
        raise ValueError(f"{word!r} is not a port; expected a whole number from 1 to {PORT_MAX}")
    return int(word)


def _host_and_port(word: str) -> tuple[str, str]:
    if word.startswith("/"):
        return word, ""
    if word.startswith("["):  # an IPv6 address
        host, _, port = word[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = word.partition(":")
    return host, port
