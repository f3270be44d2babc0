"""References leave nothing out."""

import pytest

from pilotage.central.app.route_assembly import ROUTES
from pilotage.central.http.route import Route
from pilotage.central.identity.policy import CallerKind, Permission
from pilotage.central.observe import events
from pilotage.proto.problems import STATUS, Code

from ..tidy import tree
from . import notes
from .routes import heading


@pytest.mark.parametrize("route", ROUTES, ids=heading)
def test_each_route_is_documented(route: Route) -> None:
    words = " ".join(tree.text("docs/http-api.md").split())  # its lines are wrapped

    assert f"{heading(route)} (" in words
    assert route.does in words


@pytest.mark.parametrize("code", Code)
def test_each_error_says_what_to_do(code: Code) -> None:
    assert notes.beside(Code)[code.name]
    assert code in STATUS


@pytest.mark.parametrize("event", events.EVENTS)
def test_each_event_says_what_it_means(event: str) -> None:
    assert notes.above(events)[event]


@pytest.mark.parametrize("word", [*CallerKind, *Permission])
def test_each_role_and_each_right_is_on_their_page(word: CallerKind | Permission) -> None:
    assert word.value in tree.text("docs/roles.md")
