"""The routes of productions, as a part of the table of all."""

from typing import Final

from pilotage.proto import api_productions

from ..identity.policy import Action
from . import productions
from .route import Route

_A = Action
PRODUCTION_ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/productions",
        action=_A.PRODUCTION_CONTROL,
        does="Run a workflow as a production, once for each name; or say what it would be.",
        handler=productions.add,
        takes=api_productions.NewProduction,
        gives=api_productions.ProductionDetail,
        creates=True,
    ),
    Route(
        method="GET",
        path="/v1/productions",
        action=_A.PRODUCTION_READ,
        does="Productions in order of their id, and how far they are.",
        handler=productions.several,
        query=productions.ProductionsQuery,
        gives=api_productions.ProductionPage,
    ),
    Route(
        method="GET",
        path="/v1/productions/{production}",
        action=_A.PRODUCTION_READ,
        does="Everything of one production, by id or name.",
        handler=productions.show,
        gives=api_productions.ProductionDetail,
    ),
    Route(
        method="GET",
        path="/v1/productions/{production}/report",
        action=_A.PRODUCTION_READ,
        does="How a production went: what failed, what waits for whom.",
        handler=productions.report,
        gives=api_productions.ProductionReport,
    ),
    Route(
        method="POST",
        path="/v1/productions/{production}/actions",
        action=_A.PRODUCTION_CONTROL,
        does="Pause, resume, extend, fix, clean or otherwise steer a production.",
        handler=productions.act,
        takes=api_productions.ProductionAction,
        gives=api_productions.ProductionDetail,
    ),
)
