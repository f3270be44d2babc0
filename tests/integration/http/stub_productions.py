"""Stands for the service of productions: it notes what it is asked."""

from pilotage.central.identity.callers import User
from pilotage.central.productions.service import ProductionService
from pilotage.proto.api.productions import (
    CwlOutputs,
    NewProduction,
    ProductionAction,
    ProductionDetail,
    ProductionPage,
    ProductionReport,
    ProductionView,
)
from pilotage.proto.production_states import ProductionState

from .stub_calls import Hearing, override


class StubProductions(Hearing, ProductionService):
    """Answers with one production."""

    @override
    async def add(self, caller: User, body: NewProduction, /) -> ProductionDetail:
        self.hear("add_production", caller, body)
        return _detail()

    @override
    async def list(
        self, caller: User, /, *, states: tuple[ProductionState, ...], after: int, limit: int
    ) -> ProductionPage:
        self.hear("productions", caller, (states, after, limit))
        return ProductionPage(productions=[_view()], after=None)

    @override
    async def show(self, caller: User, named: str, /) -> ProductionDetail:
        self.hear("production", caller, named)
        return _detail()

    @override
    async def outputs(self, caller: User, named: str, /) -> CwlOutputs:
        self.hear("production_outputs", caller, named)
        return CwlOutputs(status="success", outputs={"answer": 42}, why="")

    @override
    async def report(self, caller: User, named: str, /) -> ProductionReport:
        self.hear("production_report", caller, named)
        return ProductionReport(view=_view(), steps=[], files=0, bytes=0)

    @override
    async def act(self, caller: User, named: str, action: ProductionAction, /) -> ProductionDetail:
        self.hear("production_action", caller, (named, action))
        return _detail()


def _view() -> ProductionView:
    return ProductionView(
        id=7,
        name="chain",
        title="",
        state=ProductionState.ACTIVE,
        reason="",
        community="ctao",
        group="dpps",
        owner="ada",
        steps=[],
        progress=0.5,
        eta=None,
        marks=(),
        priority=None,
        rerun_of=None,
        definition="ab",
        made_at="",
        changed_at="",
    )


def _detail() -> ProductionDetail:
    return ProductionDetail(
        view=_view(),
        workflow={},
        files={},
        written={},
        rules="",
        software={},
        images={},
        version="",
    )
