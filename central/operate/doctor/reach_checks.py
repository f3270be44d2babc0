"""Checks whether pilots on the nodes of sites can reach the central."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ...factory.pilot_requests import LOCAL
from ...factory.site_files.sites import SiteBook, read_sites
from ...settings import Settings
from ..api_address import only_here, url_of
from ..pilot_factory import SITES
from .findings import Finding, warning

CHECK: Final = "reach"
DO: Final = (
    "unless its nodes are this machine: set http.host, http.url, TLS and the broker's address;"
    " see docs/operations/sites.md"
)
_SHOWN: Final = 3


def reach(data: Path, settings: Settings, url: str = "") -> Iterator[Finding]:
    """Warn if pilots at other machines would look for the central on their own node.

    `url`: the URL that a running central gives for itself.
    """
    address = url or url_of(settings.http, settings.http.port)
    if not only_here(address):
        return
    folder = Path(settings.factory.sites) if settings.factory.sites else data / SITES
    afar = [
        f"{site}/{name}"
        for site, entry in read_sites(folder, SiteBook()).sites.items()
        for name, element in entry.elements.items()
        if element.kind != LOCAL and entry.enabled and element.enabled
    ]
    if afar:
        more = f" and {len(afar) - _SHOWN} more" if len(afar) > _SHOWN else ""
        places = ", ".join(afar[:_SHOWN]) + more
        yield warning(CHECK, f"pilots of {places} get {address}, which names their own node", DO)
