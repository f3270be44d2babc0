"""Checks the addresses that people give: mail addresses and URLs of webhooks. Pure."""

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from pilotage.proto.problems import Code

from ..errors import Refused
from ..settings import NotifySettings
from ..store.records import Record

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN: Final = rf"{_LABEL}(?:\.{_LABEL})*"
_MAIL: Final = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@({_DOMAIN})")
_HOST: Final = re.compile(rf"{_DOMAIN}\.?|\[[0-9A-Fa-f:.]{{2,45}}\]")
_PRINTABLE: Final = re.compile(r"[!-~]+")
_PORTS: Final = {"https": 443, "http": 80}


class WebhookUrl(Record, frozen=True, kw_only=True):
    """The parts of a checked URL."""

    scheme: str
    host: str  # a name, or an address without brackets
    port: int
    target: str  # path and query


def check_mail(address: str, *, verified: str, domains: Collection[str]) -> None:
    """Raise Refused unless the central may send mail to this address.

    It may if the identity provider has verified that the address is the person's, or if the
    operator allows the domain. Otherwise a person could let the central mail anybody.
    """
    found = _MAIL.fullmatch(address)
    if found is None:
        raise Refused(Code.INVALID, f"{address[:80]!r} is no mail address", field="mail")
    if verified and address.lower() == verified.lower():
        return
    if found[1].lower() in {one.lower() for one in domains}:
        return
    known = f"your address at your institute ({verified})" if verified else "a verified address"
    also = f" or one at {', '.join(sorted(domains))}" if domains else ""
    what = f"this central sends mail only to {known}{also}"
    raise Refused(Code.FORBIDDEN, f"{address}: {what}", field="mail")


def parse_webhook(url: str, settings: NotifySettings) -> WebhookUrl:
    """Return the parts of a URL. Raises Refused if no webhook may have it.

    The addresses of its host are checked when the central connects.
    """
    if _PRINTABLE.fullmatch(url) is None:
        raise _wrong("it must be printable ASCII, without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as why:
        raise _wrong(f"it is no URL: {why}") from None
    schemes = ("https", "http") if settings.webhook_http else ("https",)
    if parts.scheme not in schemes:
        raise _wrong(f"it must begin with {' or '.join(f'{one}://' for one in schemes)}")
    if "@" in parts.netloc:
        raise _wrong("leave out user and password")
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc.rstrip(":")
    if len(host) > 253 or _HOST.fullmatch(host) is None:
        raise _wrong("its host is neither a name in ASCII nor an address")
    port = _PORTS[parts.scheme] if port is None else port
    if port not in settings.webhook_ports:
        ports = ", ".join(map(str, settings.webhook_ports))
        raise _wrong(f"port {port} is not allowed here, only {ports}")
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    if "#" in url:
        raise _wrong("leave out `#` and what follows it")
    return WebhookUrl(scheme=parts.scheme, host=host.strip("[]").lower(), port=port, target=target)


def _wrong(why: str) -> Refused:
    return Refused(Code.INVALID, f"the URL of the webhook: {why}", field="webhook")
