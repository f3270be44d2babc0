"""Addresses of identity providers: https, or http to this machine. Pure."""

import ipaddress
import re
import urllib.parse
from typing import Final

URL_MAX: Final = 1_024
_PRINTED: Final = re.compile(r"[!#-\[\]^-z|~]+")  # no blank, quote, backslash, brace


def wrong_address(url: str, *, query: bool = True) -> str:
    """Return an error with the right form for the address of a provider, or an empty text.

    `query`: whether it may have a query, which an issuer must not have (OpenID Connect Discovery).
    """
    right = "expected https://HOST/PATH; http:// only for a provider on this machine"
    if len(url) > URL_MAX:
        return f"has more than {URL_MAX} characters"
    if not _PRINTED.fullmatch(url):
        return f"{url!r} has a blank, or a character that no URL has: {right}"
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return f"{url!r} is not a URL: {right}"
    if not host or parts.scheme not in ("https", "http") or "@" in parts.netloc:
        return f"{url!r}: {right}"
    if parts.scheme == "http" and not is_loopback(host):
        return f"{url!r} is not encrypted: {right}"
    if "#" in url or ("?" in url and not query):
        return f"{url!r} must not have a query or a fragment: {right}"
    return ""


def is_loopback(host: str) -> bool:
    """Return whether a host's name means this machine, without asking a name server."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
