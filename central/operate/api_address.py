"""Where the API listens: what it is called, who can reach it, and why it cannot be there."""

import errno
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

from ..settings import BadSetting, BusSettings, HttpSettings

_HERE: Final = ("127.", "::1", "localhost")
_ANY: Final = ("0.0.0.0", "::")  # to listen on; who connects to them finds himself


def url_of(http: HttpSettings, port: int) -> str:
    """Return how programs on this machine reach the API, or what the settings say."""
    scheme = "https" if http.tls_certificate else "http"
    host = f"[{http.host}]" if ":" in http.host else http.host
    return http.url or f"{scheme}://{host}:{port}"


def only_here(url: str) -> bool:
    """Say whether a URL means, on each machine, that machine."""
    host = urlsplit(url).hostname or ""
    return host.startswith(_HERE) or host in _ANY


def readable_by_others(http: HttpSettings) -> bool:
    """Say whether tokens may cross a network in clear text: a proxy with TLS has its `http.url`."""
    secure = http.tls_certificate or http.url.startswith("https://")
    return not secure and not http.host.startswith(_HERE)


def refusal(why: OSError, http: HttpSettings) -> BadSetting:
    """Return in words why the API cannot listen there."""
    if why.errno == errno.EADDRINUSE:
        taken = f"{http.port} is taken on {http.host}: is another central there?"
        return BadSetting("http.port", f"{taken} `pilotage serve --port 0` takes a free one")
    if why.errno == errno.EADDRNOTAVAIL:
        return BadSetting("http.host", f"{http.host} is no address of this machine")
    if isinstance(why, socket.gaierror):
        return BadSetting("http.host", f"{http.host!r} is not known: {why.strerror}")
    if why.errno == errno.EACCES:
        return BadSetting("http.port", f"{http.port} is for root alone: take one above 1023")
    return BadSetting("http.host, http.port", f"{http.host}:{http.port}: {why.strerror}")


def check_urls(http: HttpSettings, bus: BusSettings) -> None:
    """Look at the URLs that others are told. Raises BadSetting where they are none."""
    for name, url, schemes in (
        ("http.url", http.url, ("https", "http")),
        ("bus.url", bus.url, ("mqtts", "mqtt")),
    ):
        if url and not is_url(url, schemes):
            right = f"{schemes[0]}://host:port or {schemes[1]}://host:port"
            raise BadSetting(name, f"found {url!r}, expected {right}")


def is_url(url: str, schemes: tuple[str, str]) -> bool:
    """Say whether a URL has one of two schemes, and a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port
        return False


def check_tls(http: HttpSettings) -> None:
    """Look at certificate and key. Raises BadSetting where they do not make a TLS server."""
    if not http.tls_certificate and not http.tls_key:
        return
    if not http.tls_certificate or not http.tls_key:
        raise BadSetting("http.tls_certificate, http.tls_key", "give both or none")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(http.tls_certificate, http.tls_key)
    except OSError as why:
        files = f"{http.tls_certificate} and {http.tls_key}"
        raise BadSetting("http.tls_certificate, http.tls_key", f"{files}: {why}") from None
