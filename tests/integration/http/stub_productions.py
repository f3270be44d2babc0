"""Stands for the service of productions: it notes what it is asked."""

from dataclasses import dataclass
from typing import Any, Protocol

from pilotage.central.identity.callers import User
from pilotage.proto.api.productions import (
    NewProduction,
    ProductionAction,
    ProductionDetail,
    ProductionPage,
    ProductionReport,
    ProductionView,
)
from pilotage.proto.production_states import ProductionState


class Notes(Protocol):
    """Where calls are noted."""

    asked: list[tuple[str, Any, Any]]


@dataclass
class StubProductions:
    """Answers with one production."""

    stub: Notes

    async def add(self, caller: User, body: NewProduction, /) -> ProductionDetail:
        self.stub.asked.append(("add_production", caller, body))
        return _detail()

    async def list(
        self, caller: User, /, *, states: tuple[ProductionState, ...], after: int, limit: int
    ) -> ProductionPage:
        self.stub.asked.append(("productions", caller, (states, after, limit)))
        return ProductionPage(productions=[_view()], after=None)

    async def show(self, caller: User, named: str, /) -> ProductionDetail:
        self.stub.asked.append(("production", caller, named))
        return _detail()

    async def report(self, caller: User, named: str, /) -> ProductionReport:
        self.stub.asked.append(("production_report", caller, named))
        return ProductionReport(view=_view(), steps=[], files=0, bytes=0)

    async def act(self, caller: User, named: str, action: ProductionAction, /) -> ProductionDetail:
        self.stub.asked.append(("production_action", caller, (named, action)))
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
