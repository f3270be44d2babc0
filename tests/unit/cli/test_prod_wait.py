"""`pilotage prod wait` on what was put away: it says so, and waits for nothing."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest

from pilotage.central.cli.main import run
from pilotage.central.cli.productions import views as prod_look
from pilotage.central.client.errors import Refused
from pilotage.proto.api.productions import ProductionDetail, ProductionView
from pilotage.proto.problems import Code
from pilotage.proto.production_states import NAMED, ProductionState as P
from pilotage.proto.transformation_states import TaskState as T, TransformationState as S

from .stub_client import give
from .test_production_texts import detail_of, step, view


class Central:
    """Has some productions; each look at one ends with what `happens` next."""

    def __init__(self, *views: ProductionView) -> None:
        self.views = {one.id: one for one in views}
        self.happens: list[Callable[[], None]] = []

    def now(self, *views: ProductionView) -> None:
        self.views |= {one.id: one for one in views}

    async def production(self, named: str | int) -> ProductionDetail:
        found = [
            one
            for one in self.views.values()
            if str(named) == str(one.id) or (named == one.name and one.state in NAMED)
        ]
        if self.happens:
            self.happens.pop(0)()
        if not found:
            raise Refused(Code.NOT_FOUND, f"there is no production {named!r}")
        return detail_of(found[0])

    async def productions(self, *, states: Iterable[P]) -> AsyncIterator[ProductionView]:
        for one in self.views.values():
            if one.state in states:
                yield one


@pytest.fixture
def waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def with_central(central: Central, *words: str) -> tuple[int, str, str]:
        give(central, monkeypatch)
        monkeypatch.setattr(prod_look, "_LOOK_S", 0.001)
        code = run(["prod", "wait", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return with_central


FREE = "and its name is free"
AWAY = {
    P.ARCHIVED: f"it has ended: its files stay in the catalogue, {FREE}",
    P.CLEANED: f"it has ended: its files were removed from the catalogue, {FREE}",
}


@pytest.mark.parametrize("state", AWAY)
@pytest.mark.parametrize("named", ["w", "3"])
def test_one_that_was_put_away_is_told_by_its_name_too(
    state: P, named: str, waits: Callable[..., tuple[int, str, str]]
) -> None:
    old, other = view(step(), id=1, state=state), view(step(), id=4, name="x", state=state)
    central = Central(old, view(step(), state=state), other)

    code, out, _ = waits(central, named)
    assert (code, out.splitlines()) == (1, [f"production 3: w is {state.value}", AWAY[state]])
    code, out, _ = waits(central, named, "--json")
    assert (code, json.loads(out)["id"]) == (1, 3)


def test_who_waits_for_one_that_is_put_away_meanwhile_does_not_wait_for_another(
    waits: Callable[..., tuple[int, str, str]],
) -> None:
    central = Central(view(step()))
    another = view(step(), id=5)
    central.happens = [lambda: central.now(view(step(), state=P.CLEANED), another)]

    code, out, _ = waits(central, "w", "--timeout-s", "20")
    assert (code, out.splitlines()[0]) == (1, "production 3: w is Cleaned")


def test_the_one_that_has_a_name_is_waited_for_and_not_the_one_that_had_it(
    waits: Callable[..., tuple[int, str, str]],
) -> None:
    central = Central(view(step(), id=2, state=P.CLEANED), view(step(), state=P.COMPLETED))

    assert waits(central, "w")[:2] == (0, "production 3: w is Completed\n")


@pytest.mark.parametrize("alone", [S.PAUSED, S.STOPPED])
def test_one_with_a_step_that_stands_alone_is_not_waited_for(
    alone: S, waits: Callable[..., tuple[int, str, str]]
) -> None:
    stands = step("a", state=alone, reason="a look at it")
    code, out, _ = waits(Central(view(stands, step("b", parents=("a",)))), "w", "--timeout-s", "1")

    assert (code, out.splitlines()[1]) == (6, "step a is stuck: a look at it")


def test_who_waits_while_a_query_may_still_meet_files_is_told_once_how_that_ends(
    waits: Callable[..., tuple[int, str, str]],
) -> None:
    looking = step("a", state=S.ACTIVE)
    central = Central(view(looking, step("b", parents=("a",))))
    over = view(step("a", state=S.COMPLETED), state=P.COMPLETED)
    central.happens = [lambda: None, lambda: None, lambda: central.now(over)]

    code, _, err = waits(central, "w", "--timeout-s", "20")
    assert (code, err.splitlines()) == (
        0,
        [
            "pilotage: step a waits for more files that meet its query; if no more come: "
            "pilotage prod complete w"
        ],
    )


def test_who_waits_while_a_quota_stops_a_step_is_told_once(
    waits: Callable[..., tuple[int, str, str]],
) -> None:
    full = step("a", reason="waits: owner 'ada' has 4 of 4 jobs", tasks={T.CREATED: 1})
    central = Central(view(full))
    over = view(step("a", state=S.COMPLETED), state=P.COMPLETED)
    central.happens = [lambda: None, lambda: None, lambda: central.now(over)]

    code, _, err = waits(central, "w", "--timeout-s", "20")
    assert (code, err) == (0, "pilotage: step a waits: owner 'ada' has 4 of 4 jobs\n")


def test_a_name_that_none_had_is_refused(waits: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = waits(Central(view(step(), state=P.CLEANED)), "v")

    assert (code, out) == (3, "")
    assert "there is no production 'v'" in err


def test_what_is_refused_is_advised_by_the_option_that_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Refusing:
        async def extend_production(self, *_: Any, **__: Any) -> None:
            raise Refused(Code.ILLEGAL_STATE, "step: below it all was taken; or say `anyway`")

    give(Refusing(), monkeypatch)

    assert run(["prod", "extend", "w", "a", "2"]) == 3
    assert "or say `--anyway`" in capsys.readouterr().err
