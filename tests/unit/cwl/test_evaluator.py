"""The evaluator survives garbage, and documents that are made to hurt it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("cwltool")

from pilotage.central.cwl import javascript
from pilotage.central.cwl.evaluator import Evaluator

MAIN = "file:///pilotage-cwl/doc/main.cwl"
TOOL = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: x\ninputs: []\noutputs: []\n"
START = "from pilotage.central.cwl import evaluator as e; e.LOAD_S = 1.0; e.main()"
EXPRESSION = """\
cwlVersion: v1.2
class: Workflow
requirements: {InlineJavascriptRequirement: {}}
inputs: []
outputs: {o: {type: Any, outputSource: e/o}}
steps:
  e:
    in: []
    out: [o]
    run: {class: ExpressionTool, inputs: [], outputs: {o: Any}, expression: '%s'}
"""


def document(text: str, **inputs: Any) -> dict[str, Any]:
    return {"main": MAIN, "texts": {MAIN: text}, "inputs": inputs, "files": {}}


def laughs() -> str:
    """Return a small document that has a billion of words, by aliases."""
    rows = [f"  a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)]
    return f"{TOOL}extra:\n  a0: &a0 [x,x,x,x,x,x,x,x,x]\n{''.join(rows)}"


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-P", "-c", START]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, env={}) as found:
        yield found
        assert found.stdin is not None
        found.stdin.close()


def asked(process: subprocess.Popen[bytes], line: bytes) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(line + b"\n")
    process.stdin.flush()
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[1]", b"null", b"{}", b'{"do": "x"}', b'{"do": "begin", "run": []}', b"\xff"]
    + [b"[" * 100_000, b'{"do": "advance", "run": []}'],
)
def test_garbage_is_answered_and_harms_nothing(
    process: subprocess.Popen[bytes], line: bytes
) -> None:
    assert "broken" in asked(process, line)
    assert asked(process, b'{"do": "end", "run": "none"}') == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (laughs(), "takes more than 1 s to load"),
        ("{a: " * 2_000, "nested too deeply"),
        ("", "StopIteration"),
        ("\0", "unacceptable character"),
        ('{$import: "http://127.0.0.1:1/x.cwl"}', "cwlVersion"),
        (
            TOOL.replace("baseCommand: x", "baseCommand: {$include: 'file:///etc/passwd'}"),
            "was not sent",
        ),
    ],
    ids=["laughs", "deep", "empty", "nul", "import", "include"],
)
def test_a_hostile_document_is_unfit(process: subprocess.Popen[bytes], text: str, why: str) -> None:
    call = {"do": "shape", "document": document(text)}

    assert why in asked(process, json.dumps(call).encode())["unfit"]

    call = {"do": "shape", "document": document(TOOL)}
    assert len(asked(process, json.dumps(call).encode())["steps"]) == 1


def test_an_unknown_run_is_said_to_be_unknown() -> None:
    assert Evaluator().answer({"do": "advance", "run": "7"}) == {"unknown": True}


def test_an_endless_expression_fails_its_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(javascript, "CPU_S", 0.2)
    one = Evaluator()
    for name, code in (("bad", "${while (true) {}}"), ("good", "${return {o: 1};}")):
        given = document(EXPRESSION % code)
        one.answer({"do": "begin", "run": name, "document": given, "at": 0.0})

    assert one.answer({"do": "advance", "run": "bad"})["status"] == "permanentFail"
    assert one.answer({"do": "advance", "run": "good"})["outputs"] == {"o": 1}


WHEN = """\
cwlVersion: v1.2
class: Workflow
requirements: {InlineJavascriptRequirement: {}, ScatterFeatureRequirement: {}}
inputs: []
outputs: {o: {type: Any, outputSource: s/o}}
steps:
  s:
    in: {i: {default: 5}}
    out: [o]
    %s
    run: {class: ExpressionTool, inputs: {i: Any}, outputs: {o: Any}, expression: '${return %s;}'}
"""


@pytest.mark.parametrize(
    ("line", "value", "why"),
    [
        ("when: $(5)", "{o: 1}", "'when' must evaluate to 'true' or 'false'"),
        ("scatter: i", "{o: 1}", "`scatter` expects a list, found a number"),
        ("", r'{o: "\ud800"}', "found a text with half a character"),
        (
            "",
            '{o: {class: "File", location: "file:///pilotage-cwl/runs/abc/x"}}',
            "location: found 'file:///pilotage-cwl/runs/abc/x', which is no file of this run",
        ),
    ],
    ids=["when", "scatter", "half a character", "another run"],
)
def test_a_run_fails_with_the_reason(line: str, value: str, why: str) -> None:
    one = Evaluator()
    given = document(WHEN % (line, value))
    one.answer({"do": "begin", "run": "bad", "document": given, "at": 0.0})

    answer = one.answer({"do": "advance", "run": "bad"})

    assert answer["status"] == "permanentFail"
    assert why in "".join(answer["why"])
