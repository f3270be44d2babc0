"""Routes of bans of persons."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pilotage.proto.api import bans
from pilotage.proto.api.jobs import PAGE_MAX, Id

from ...http.call import Call
from ...http.route import Routes
from ..calls import user
from ..policy import Permission
from .service import BanService

ROUTES: Final = Routes[BanService]()


class BansQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects bans, and a page of them."""

    person: Annotated[str, Meta(max_length=bans.PERSON_MAX)] = ""  # as the central shows it
    issuer: Annotated[str, Meta(max_length=bans.ISSUER_MAX)] = ""  # `person` is its subject
    lifted: bool = False  # also lifted bans, for `retention.token_days`
    after: Id = 0
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100


@ROUTES.add("POST", "/v1/bans", Permission.BAN_CONTROL, needs_leader=False)
async def ban(service: BanService, call: Call, body: bans.BanRequest) -> bans.BanMade:
    """Ban a person: refuse all requests, hold waiting jobs, and kill running jobs."""
    return await service.ban(user(call), body)


@ROUTES.add("GET", "/v1/bans", Permission.BAN_CONTROL, needs_leader=False)
async def search(service: BanService, call: Call, query: BansQuery) -> bans.Bans:
    """List bans of persons, in order of their number."""
    return await service.list(
        user(call),
        person=query.person,
        issuer=query.issuer,
        lifted=query.lifted,
        after=query.after,
        limit=query.limit,
    )


@ROUTES.add("DELETE", "/v1/bans/{ban}", Permission.BAN_CONTROL, needs_leader=False)
async def lift(service: BanService, call: Call) -> bans.BanView:
    """Lift a ban, and release the jobs that it held. Killed jobs stay Killed."""
    return await service.lift(user(call), call.path("ban"))
