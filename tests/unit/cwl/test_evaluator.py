"""The evaluator survives garbage, and documents that are made to hurt it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("cwltool")

from pilotage.central.cwl import javascript
from pilotage.central.cwl.evaluator import Evaluator
from pilotage.central.cwl.messages import (
    Advance,
    Advanced,
    Answer,
    Begin,
    Broken,
    Call,
    End,
    Ended,
    Noted,
    Shape,
    Shaped,
    Unfit,
    Unknown,
)
from pilotage.proto.documents.cwl import CwlDocument
from pilotage.proto.documents.job import Input

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


def document(text: str, **inputs: Any) -> CwlDocument:
    tool = Input(name="tool_job.py", sha256="0" * 64, size_bytes=1)
    return CwlDocument(main=MAIN, texts={MAIN: text}, inputs=inputs, tool=tool)


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


def asked(process: subprocess.Popen[bytes], call: bytes | Call) -> Answer:
    assert process.stdin is not None and process.stdout is not None
    line = call if isinstance(call, bytes) else msgspec.json.encode(call)
    process.stdin.write(line + b"\n")
    process.stdin.flush()
    return msgspec.json.decode(process.stdout.readline(), type=Answer)


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[1]", b"null", b"{}", b'{"is": "x"}', b'{"is": "begin", "run": []}', b"\xff"]
    + [b"[" * 100_000, b'{"is": "advance", "run": []}'],
)
def test_garbage_is_answered_and_harms_nothing(
    process: subprocess.Popen[bytes], line: bytes
) -> None:
    assert isinstance(asked(process, line), Broken)
    assert asked(process, End(run="none")) == Noted()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (laughs(), "takes more than 1 s to load"),
        ("{a: " * 2_000, "nested too deeply"),
        ("", "the document is empty"),
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
    answer = asked(process, Shape(document=document(text)))

    assert isinstance(answer, Unfit)
    assert why in answer.why
    shaped = asked(process, Shape(document=document(TOOL)))
    assert isinstance(shaped, Shaped)
    assert len(shaped.steps) == 1


def test_an_unknown_run_is_said_to_be_unknown() -> None:
    assert Evaluator().answer(Advance(run="7")) == Unknown()


def end_of(one: Evaluator, run: str) -> Answer:
    """Return the end of a run without jobs."""
    while (answer := one.answer(Advance(run=run))) == Advanced(more=True):
        pass
    return answer


def test_an_endless_expression_fails_its_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(javascript, "CPU_S", 0.2)
    one = Evaluator()
    for name, code in (("bad", "${while (true) {}}"), ("good", "${return {o: 1};}")):
        one.answer(Begin(run=name, document=document(EXPRESSION % code), at=0.0))

    bad, good = (end_of(one, name) for name in ("bad", "good"))
    assert isinstance(bad, Ended) and isinstance(good, Ended)
    assert bad.status == "permanentFail"
    assert good.outputs == {"o": 1}


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
    one.answer(Begin(run="bad", document=document(WHEN % (line, value)), at=0.0))

    answer = end_of(one, "bad")

    assert isinstance(answer, Ended)
    assert answer.status == "permanentFail"
    assert why in "".join(answer.why)


def test_half_a_character_ends_its_run_alone(process: subprocess.Popen[bytes]) -> None:
    given = document(EXPRESSION % '${return {o: "\\ud800"};}')
    asked(process, Begin(run="half", document=given, at=0.0))

    answer = asked(process, Advance(run="half"))

    assert isinstance(answer, Broken | Ended)
    assert answer.why
    assert asked(process, End(run="half")) == Noted()


def test_a_failed_run_without_outputs_has_an_end() -> None:
    one = Evaluator()
    text = EXPRESSION.replace("{Inline", "{MultipleInputFeatureRequirement: {}, Inline")
    text = text.replace(
        "outputSource: e/o", "outputSource: [e/o, e/o], pickValue: the_only_non_null"
    )
    one.answer(Begin(run="null", document=document(text % "${return {o: 1};}"), at=0.0))

    answer = one.answer(Advance(run="null"))

    assert isinstance(answer, Ended)
    assert (answer.status, answer.outputs) == ("permanentFail", None), answer


SCATTER = """\
cwlVersion: v1.2
class: Workflow
requirements: {InlineJavascriptRequirement: {}, ScatterFeatureRequirement: {}}
inputs: []
outputs: {o: {type: Any, outputSource: s/o}}
steps:
  s:
    in: {i: {default: [1, 2, 3, 4, 5]}}
    scatter: i
    out: [o]
    run:
      class: ExpressionTool
      inputs: {i: Any}
      outputs: {o: Any}
      expression: "${return {o: inputs.i}}"
"""


def test_a_run_of_many_expressions_lets_others_in_between() -> None:
    one = Evaluator(turn_s=0.0)
    one.answer(Begin(run="long", document=document(SCATTER), at=0.0))
    one.answer(Begin(run="other", document=document(EXPRESSION % "${return {o: 1};}"), at=0.0))
    turns = 0
    while (answer := one.answer(Advance(run="long"))) == Advanced(more=True):
        turns += 1
        other = one.answer(Advance(run="other"))

    assert turns >= 5
    assert isinstance(other, Ended) and isinstance(answer, Ended)
    assert answer.outputs == {"o": [1, 2, 3, 4, 5]}


PARENT = """\
import subprocess, sys, time
words = [sys.executable, "-P", "-m", "pilotage.central.cwl.evaluator"]
child = subprocess.Popen(words, stdin=subprocess.PIPE)
child.stdin.write(sys.stdin.buffer.read())
child.stdin.flush()
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_busy_evaluator_ends_with_its_central() -> None:
    endless = document(EXPRESSION % "${while (true) {}}")
    # A turn can end before the expression begins: ask again.
    calls = (Begin(run="1", document=endless, at=0.0), *[Advance(run="1")] * 100)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=pipe, stdout=pipe) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        parent.stdin.write(b"".join(msgspec.json.encode(one) + b"\n" for one in calls))
        parent.stdin.close()
        stat = Path(f"/proc/{int(parent.stdout.readline())}/stat")
        until = time.monotonic() + 60.0
        while _cpu_ticks(stat) < 100:  # it has loaded the library, and evaluates
            assert time.monotonic() < until
            time.sleep(0.05)
        parent.kill()
        parent.wait()

    until = time.monotonic() + 60.0
    while _cpu_ticks(stat) >= 0:
        assert time.monotonic() < until, "the evaluator goes on"
        time.sleep(0.05)


def _cpu_ticks(stat: Path) -> int:
    """Return the CPU time of a process, -1 if it has ended."""
    try:
        state, *fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return -1
    return -1 if state == "Z" else int(fields[10]) + int(fields[11])
