"""Where the API listens: what it is called, who can reach it, and why it cannot be there."""

import errno
import socket
from typing import Final

from ..settings import BadSetting, HttpSettings

_HERE: Final = ("127.", "::1", "localhost")


def url_of(http: HttpSettings, port: int) -> str:
    """Return how programs on this machine reach the API, or what the settings say."""
    scheme = "https" if http.tls_certificate else "http"
    host = f"[{http.host}]" if ":" in http.host else http.host
    return http.url or f"{scheme}://{host}:{port}"


def readable_by_others(http: HttpSettings) -> bool:
    """Say whether tokens may cross a network in clear text: a proxy with TLS has its `http.url`."""
    secure = http.tls_certificate or http.url.startswith("https://")
    return not secure and not http.host.startswith(_HERE)


def refusal(why: OSError, http: HttpSettings) -> BadSetting:
    """Return in words why the API cannot listen there."""
    if why.errno == errno.EADDRINUSE:
        taken = f"{http.port} is taken on {http.host}: is another central there?"
        return BadSetting("http.port", f"{taken} 0 takes a free one")
    if why.errno == errno.EADDRNOTAVAIL:
        return BadSetting("http.host", f"{http.host} is no address of this machine")
    if isinstance(why, socket.gaierror):
        return BadSetting("http.host", f"{http.host!r} is not known: {why.strerror}")
    if why.errno == errno.EACCES:
        return BadSetting("http.port", f"{http.port} is for root alone: take one above 1023")
    return BadSetting("http.host, http.port", f"{http.host}:{http.port}: {why.strerror}")
