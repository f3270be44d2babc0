"""Routes for productions."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.productions import (
    CwlOutputs,
    NewProduction,
    ProductionAction,
    ProductionDetail,
    ProductionPage,
    ProductionPreview,
    ProductionReport,
)
from pilotage.proto.ids import ID_MAX
from pilotage.proto.production_states import ProductionState

from ..http.call import Call
from ..http.route import Routes
from ..identity.calls import user
from ..identity.policy import Permission
from .service import ProductionService

DOCUMENT_MAX: Final = 24 << 20  # bytes of a CWL document with its texts and names of files
ROUTES: Final = Routes[ProductionService]()
PATH: Final = "/v1/productions"
ONE: Final = f"{PATH}/{{production}}"


class ProductionsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The filter for productions, and the page."""

    state: tuple[ProductionState, ...] = ()
    after: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100


@ROUTES.add(
    "POST",
    PATH,
    Permission.PRODUCTION_CONTROL,
    gives=ProductionDetail,
    creates=True,
    body_max=DOCUMENT_MAX,
)
async def add(
    service: ProductionService, call: Call, body: NewProduction
) -> ProductionDetail | ProductionPreview:
    """Run a workflow as a production, once for each name, or show what it would be."""
    return await service.add(user(call), body)


@ROUTES.add("GET", PATH, Permission.PRODUCTION_READ)
async def several(
    service: ProductionService, call: Call, query: ProductionsQuery
) -> ProductionPage:
    """List productions with their progress, in order of id."""
    return await service.list(user(call), states=query.state, after=query.after, limit=query.limit)


@ROUTES.add("GET", ONE, Permission.PRODUCTION_READ)
async def show(service: ProductionService, call: Call) -> ProductionDetail:
    """Show everything about one production, by id or name."""
    return await service.show(user(call), call.path("production"))


@ROUTES.add("GET", f"{ONE}/report", Permission.PRODUCTION_READ)
async def report(service: ProductionService, call: Call) -> ProductionReport:
    """Report on a production: its failures, and its stuck files."""
    return await service.report(user(call), call.path("production"))


@ROUTES.add("GET", f"{ONE}/outputs", Permission.PRODUCTION_READ)
async def outputs(service: ProductionService, call: Call) -> CwlOutputs:
    """Show the outputs of a production that runs a CWL document."""
    return await service.outputs(user(call), call.path("production"))


@ROUTES.add("POST", f"{ONE}/actions", Permission.PRODUCTION_CONTROL)
async def act(service: ProductionService, call: Call, body: ProductionAction) -> ProductionDetail:
    """Pause, resume, extend, fix, clean or otherwise steer a production."""
    return await service.act(user(call), call.path("production"), body)
