"""The progress bar of `wait`."""

import sys
from types import ModuleType
from typing import Any

import pytest

from pilotage.central.client.notebooks.progress_bars import shown_progress


class Tqdm:
    """As much of tqdm as the bar needs."""

    made: list["Tqdm"] = []

    def __init__(self, total: int, desc: str) -> None:
        self.total, self.desc, self.n = total, desc, 0
        self.made.append(self)

    def __enter__(self) -> "Tqdm":
        return self

    def __exit__(self, *_: Any) -> None:
        self.total = -self.total

    def update(self, by: int) -> None:
        self.n += by


def test_a_function_is_handed_on() -> None:
    heard: list[int] = []
    with shown_progress("jobs", 3, heard.append) as move:
        assert move is not None
        move(2)
    with shown_progress("jobs", 3, None) as move:
        assert move is None

    assert heard == [2]


def test_a_notebook_with_tqdm_has_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("tqdm")
    module.__spec__ = sys.__spec__
    auto = ModuleType("tqdm.auto")
    monkeypatch.setattr(auto, "tqdm", Tqdm, raising=False)
    monkeypatch.setitem(sys.modules, "tqdm", module)
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    with shown_progress("submission 7", 3, True) as move:
        assert move is not None
        move(1)
        move(3)

    (bar,) = Tqdm.made
    assert (bar.n, bar.total, bar.desc) == (3, -3, "submission 7")


def test_without_tqdm_a_bar_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with shown_progress("submission 7", 3, True) as move:
        assert move is not None
        move(3)

    assert "submission 7" in capsys.readouterr().out
