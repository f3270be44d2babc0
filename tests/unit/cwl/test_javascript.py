"""Expressions run without files and network, and with limits."""

import time

import pytest

pytest.importorskip("quickjs")

from cwl_utils.errors import JavascriptException

from pilotage.central.cwl import javascript


def evaluated(code: str, library: str = "") -> object:
    return javascript.QuickJs().eval(code, library)


def test_expressions_and_bodies_have_values() -> None:
    assert evaluated("1 + 1") == 2
    assert evaluated(
        "{ return [twice(2), null, {a: 'b'}]; }", "function twice(n) { return 2 * n; }"
    ) == [
        4,
        None,
        {"a": "b"},
    ]
    assert evaluated("undefined") is None


@pytest.mark.parametrize(
    "code", ["require('fs')", "process.exit()", "std.open('/etc/passwd')", "1 +", "x"]
)
def test_an_expression_reaches_nothing_outside(code: str) -> None:
    with pytest.raises(JavascriptException, match="in the expression"):
        evaluated(code)


def test_an_expression_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(javascript, "CPU_S", 0.2)
    began = time.monotonic()

    with pytest.raises(JavascriptException):
        evaluated("{ while (true) {} }")

    assert time.monotonic() - began < 10


def test_an_expression_gets_no_more_memory_than_allowed() -> None:
    with pytest.raises(JavascriptException):
        evaluated("{ var a = []; while (true) a.push(new Array(1000000).fill(1)); }")
