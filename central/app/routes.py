"""Routes of the central itself: health, metrics, description, and the wheel of its client.

Most need no token: a user has none before the client is installed, and the wheel is not a secret.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Final, Protocol

from pilotage.proto.api.health import Health, Readiness
from pilotage.proto.problems import Code

from ..errors import Refused
from ..http.answers import TEXT, HttpAnswer
from ..http.call import Call
from ..http.route import Routes
from ..identity.policy import Permission
from ..observe.metrics import MEDIA

ENTRANCE: Final = {"health": "/health", "description": "/openapi.json", "pilot": "/pilot.sh"}
PAGE: Final = """\
<!DOCTYPE html>
<html><head><title>pilotage</title></head><body>
<a href="/client/{name}#sha256={sha256}" data-requires-python="{python}">{name}</a>
</body></html>
"""


class HealthReader(Protocol):
    """The health of a process; without the queue it cannot count jobs."""

    def health(self) -> Health: ...
    def ready(self) -> Readiness: ...


class Metrics(Protocol):
    """The metrics of a process; without the queue it has fewer."""

    async def page(self, requests: Mapping[tuple[str, int], int], /) -> str:
        """Return all metrics; `requests` are the requests that a face has counted."""
        ...


@dataclass(frozen=True)
class ClientWheel:
    """The wheel of the client that this central hands out."""

    name: str  # of the file; pip reads version and tags from it
    content: bytes
    sha256: str
    needs_python: str  # such as `>=3.10`


Described = Callable[[], bytes]  # returns the OpenAPI document
Wheel = Callable[[], Awaitable[ClientWheel | None]]

HEALTH_ROUTES: Final = Routes[HealthReader]()
METRICS_ROUTES: Final = Routes[Metrics]()
DESCRIPTION_ROUTES: Final = Routes[Described]()
CLIENT_ROUTES: Final = Routes[Wheel]()


@DESCRIPTION_ROUTES.add("GET", "/", Permission.PUBLIC_READ, needs_leader=False)
async def entrance(described: Described, call: Call) -> dict[str, str]:
    """Show where to start."""
    return ENTRANCE


@DESCRIPTION_ROUTES.add(
    "GET", "/openapi.json", Permission.PUBLIC_READ, needs_leader=False, gives=dict[str, Any]
)
async def openapi(described: Described, call: Call) -> HttpAnswer:
    """Fetch the OpenAPI description."""
    return HttpAnswer(described())


@HEALTH_ROUTES.add("GET", "/health", Permission.PUBLIC_READ, needs_leader=False)
async def health(service: HealthReader, call: Call) -> Health:
    """Show the health of the central."""
    return service.health()


@HEALTH_ROUTES.add("GET", "/ready", Permission.PUBLIC_READ, needs_leader=False)
async def ready(service: HealthReader, call: Call) -> Readiness:
    """Answer 200 while the central takes requests: it has loaded, and can write to the store."""
    found = service.ready()
    if not found.ready:
        why = "it is loading or stopping" if not found.loaded else f"the store: {found.store}"
        if found.loaded and found.store == "ok" and found.disk != "ok":
            why = f"the disk: {found.disk}"
        raise Refused(Code.UNAVAILABLE, f"not ready: {why}")
    return found


@METRICS_ROUTES.add(
    "GET", "/metrics", Permission.METRICS_READ, needs_leader=False, gives=str, gives_media=TEXT
)
async def metrics(service: Metrics, call: Call) -> HttpAnswer:
    """Return metrics for Prometheus, as totals of all communities."""
    return HttpAnswer((await service.page(call.face.requests)).encode(), media=MEDIA)


@CLIENT_ROUTES.add(
    "GET",
    "/client",
    Permission.PUBLIC_READ,
    needs_leader=False,
    gives=bytes,
    gives_media="text/html",
)
async def client_page(wheel: Wheel, call: Call) -> HttpAnswer:
    """Show a page with a link to the client's wheel, and its SHA-256."""
    found = await _found(wheel)
    python = escape(found.needs_python)
    text = PAGE.format(name=escape(found.name), sha256=found.sha256, python=python)
    return HttpAnswer(text.encode(), media="text/html; charset=utf-8")


@CLIENT_ROUTES.add(
    "GET",
    "/client/{name}",
    Permission.PUBLIC_READ,
    needs_leader=False,
    gives=bytes,
    gives_media="application/zip",
)
async def client_wheel(wheel: Wheel, call: Call) -> HttpAnswer:
    """Fetch the wheel of this version by its file name, for `pip install URL`."""
    found = await _found(wheel)
    if call.path("name") != found.name:
        raise Refused(Code.NOT_FOUND, f"the wheel of this central is /client/{found.name}")
    return HttpAnswer(found.content, media="application/zip")


async def _found(wheel: Wheel) -> ClientWheel:
    found = await wheel()
    if found is None:
        why = "this central has no wheel, because it runs from sources that are not installed"
        raise Refused(Code.NOT_FOUND, why)
    return found
