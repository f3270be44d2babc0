"""The servers that a URL names, as libpq writes them: which of them is asked first."""

from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

PORT_MAX: Final = 65_535
URLS_MAX: Final = 64  # of which it is remembered who answered


class Server(NamedTuple):
    """One of several."""

    host: str  # or the folder of a socket
    port: int | None = None  # None: the usual one

    def __str__(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"


class Servers:
    """Several servers, of which one leads. Whoever failed is asked after all others the next time,
    so that a machine that is gone costs its time once, and who has answered is asked first.

    Threads share it: what one of them has seen may be lost, and is seen again.
    """

    def __init__(self, named: tuple[Server, ...]) -> None:
        self._order = named

    @property
    def order(self) -> tuple[Server, ...]:
        """In which order they are asked. Not two: the URL says by itself where to go."""
        return self._order

    def failed(self, one: Server) -> None:
        """It did not answer, or does not lead."""
        self._order = (*(other for other in self._order if other != one), one)


@lru_cache(URLS_MAX)
def servers_of(url: str) -> Servers:
    """Return the servers of a URL, for all its connections. Raises ValueError: a wrong port."""
    return Servers(named_by(url))


def named_by(url: str) -> tuple[Server, ...]:
    """Return the servers that stand in a URL, in its order: `//one:5432,two:5432/`, or for sockets
    `?host=/one,/two`. None where they and their ports do not fit: whoever connects says it.

    Raises ValueError: a wrong port.
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
        raise ValueError(f"{word!r} is no port, expected a whole number from 1 to {PORT_MAX}")
    return int(word)


def _host_and_port(word: str) -> tuple[str, str]:
    if word.startswith("/"):
        return word, ""
    if word.startswith("["):  # an address of IPv6
        host, _, port = word[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = word.partition(":")
    return host, port
