"""Links to a login: a page of another site chooses no role for a browser."""

import pytest

from pilotage.central.app.route_assembly import face

from .asgi import Client
from .stubs import build


@pytest.mark.parametrize(
    ("path", "site", "status"),
    [
        ("/auth/start?to=/portal&role=admin", "cross-site", 403),
        ("/auth/start?to=/portal&role=admin", "same-site", 403),
        ("/auth/start?to=/portal&role=admin", "same-origin", 303),
        ("/auth/start?to=/portal&role=admin", "none", 303),
        ("/auth/start?to=/portal&role=admin", "", 303),
        ("/auth/start?to=/portal", "cross-site", 303),
        ("/auth/start?redirect_uri=http://127.0.0.1:1/a&role=admin", "cross-site", 403),
        ("/auth/start?redirect_uri=http://127.0.0.1:1/a&role=admin", "none", 303),
    ],
)
async def test_a_link_of_another_site_chooses_no_role(path: str, site: str, status: int) -> None:
    world = build()
    headers = {"sec-fetch-site": site} if site else {}
    reply = await Client(face(world.services)).ask("GET", path, headers=headers)

    assert reply.status == status
    assert bool(world.calls.asked) is (status == 303)
