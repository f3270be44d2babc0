"""The address of the API: its URL, who can reach it, and why it cannot be used."""

import errno
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

from ..settings import BadSetting, BusSettings, HttpSettings

_HERE: Final = ("127.", "::1", "localhost")
_ANY: Final = ("0.0.0.0", "::")  # addresses to listen on; to connect to them means this machine


def url_of(http: HttpSettings, port: int) -> str:
    """Return `http.url`, or the URL at which programs on this machine reach the API."""
    scheme = "https" if http.tls_certificate else "http"
    host = f"[{http.host}]" if ":" in http.host else http.host
    return http.url or f"{scheme}://{host}:{port}"


def only_here(url: str) -> bool:
    """Return whether a URL names the local machine, wherever it is used."""
    host = urlsplit(url).hostname or ""
    return host.startswith(_HERE) or host in _ANY


def readable_by_others(http: HttpSettings) -> bool:
    """Return whether tokens may cross a network in clear text; a proxy with TLS sets `http.url`."""
    secure = http.tls_certificate or http.url.startswith("https://")
    return not secure and not http.host.startswith(_HERE)


def refusal(why: OSError, http: HttpSettings) -> BadSetting:
    """Explain why the API cannot listen there."""
    if why.errno == errno.EADDRINUSE:
        taken = f"{http.port} is in use on {http.host}: does another central run there?"
        return BadSetting("http.port", f"{taken} `pilotage serve --port 0` uses a free port")
    if why.errno == errno.EADDRNOTAVAIL:
        return BadSetting("http.host", f"{http.host} is not an address of this machine")
    if isinstance(why, socket.gaierror):
        return BadSetting("http.host", f"{http.host!r} is unknown: {why.strerror}")
    if why.errno == errno.EACCES:
        return BadSetting("http.port", f"{http.port} is for root only: use a port above 1023")
    return BadSetting("http.host, http.port", f"{http.host}:{http.port}: {why.strerror}")


def check_urls(http: HttpSettings, bus: BusSettings) -> None:
    """Check the URLs that the central gives to others. Raises BadSetting."""
    for name, url, schemes in (
        ("http.url", http.url, ("https", "http")),
        ("bus.url", bus.url, ("mqtts", "mqtt")),
    ):
        if url and not is_url(url, schemes):
            right = f"{schemes[0]}://host:port or {schemes[1]}://host:port"
            raise BadSetting(name, f"found {url!r}, expected {right}")


def is_url(url: str, schemes: tuple[str, str]) -> bool:
    """Return whether a URL has a host and one of two schemes."""
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bad port
        return False


def check_tls(http: HttpSettings) -> None:
    """Check certificate and key. Raises BadSetting if they do not fit."""
    if not http.tls_certificate and not http.tls_key:
        return
    if not http.tls_certificate or not http.tls_key:
        raise BadSetting("http.tls_certificate, http.tls_key", "set both or none")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(http.tls_certificate, http.tls_key)
    except OSError as why:
        files = f"{http.tls_certificate} and {http.tls_key}"
        raise BadSetting("http.tls_certificate, http.tls_key", f"{files}: {why}") from None
