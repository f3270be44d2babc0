"""A large scatter is submitted: how long until its jobs are stored, and what that costs."""

import time
import uuid
from pathlib import Path
from typing import Any

import msgspec

from pilotage.central.client.files import LocalFile
from pilotage.central.cwl.evaluator import Evaluator, decoded, encoded
from pilotage.central.cwl.messages import Advance, Advanced, Answer, Begin, Ended
from pilotage.pilot.cwl import tool_job
from pilotage.proto.documents.cwl import CwlDocument
from pilotage.proto.documents.job import Input

from ..figures import Figure, figure
from ..machine import cpu_s
from ..rig import Rig, Sender, rig
from ..submit import A_CALL, job

ELEMENTS = 10_000
WARM = 200
TAKEN = 200  # results in a call, as the central gives them
PATIENCE_S = 300.0
SETTLED_S = 1.0
MAIN = "file:///pilotage-cwl/doc/scatter.cwl"
DOCUMENT = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {words: "string[]"}
outputs: {said: {type: "File[]", outputSource: say/said}}
steps:
  say:
    scatter: word
    in: {word: words}
    out: [said]
    run:
      class: CommandLineTool
      baseCommand: echo
      inputs: {word: {type: string, inputBinding: {}}}
      stdout: $(inputs.word).txt
      outputs: {said: {type: stdout}}
"""


def measure(elements: int) -> list[Figure]:
    """Submit plain jobs, then a scatter of the same size."""
    with rig({"bus.broker": "none"}) as bench:
        _scattered(bench, WARM)
        plain_ms = _plain(bench, elements)
        took, element_ms = _scattered(bench, elements)
    return [
        figure("cwl", "scatter, until all jobs are stored", took, "s"),
        figure("cwl", "an element, beyond a plain job", element_ms - plain_ms, "ms"),
        figure("cwl", "a plain job", plain_ms, "ms"),
        figure("cwl", "result of an element, evaluator", _results_ms(elements), "ms"),
    ]


def _cpu_s(bench: Rig) -> float:
    """Return the CPU time of the central and its evaluator."""
    pid = bench.central.process.pid
    below = Path(f"/proc/{pid}/task").glob("*/children")
    return sum(cpu_s(int(one)) for one in (str(pid), *_words(below)))


def _words(files: Any) -> list[str]:
    return [word for file in files for word in file.read_text().split()]


def _plain(bench: Rig, count: int) -> float:
    """Return the CPU time of a job that is submitted as it is, in milliseconds."""
    sender, before = bench.sender(), _cpu_s(bench)
    for start in range(0, count, A_CALL):
        jobs = [job(number) for number in range(start, min(start + A_CALL, count))]
        body = {"key": uuid.uuid4().hex, "jobs": jobs}
        sender.post("/v1/submissions", msgspec.json.encode(body))
    time.sleep(SETTLED_S)
    return 1e3 * (_cpu_s(bench) - before) / count


def _scattered(bench: Rig, elements: int) -> tuple[float, float]:
    """Submit a scatter; return the seconds until its jobs are stored, and the ms of CPU a job."""
    (tool,) = bench.client.upload([LocalFile(Path(tool_job.__file__))])
    name = f"scatter-{elements}"
    body = {"name": name, "cwl": {**document(elements), "tool": msgspec.to_builtins(tool)}}
    sender, before, began = bench.sender(), _cpu_s(bench), time.perf_counter()
    sender.post("/v1/productions", msgspec.json.encode(body))
    while _stored(sender, name) < elements:
        assert time.perf_counter() - began < PATIENCE_S, "the jobs are not stored"
        time.sleep(0.1)
    took = time.perf_counter() - began
    time.sleep(SETTLED_S)
    return took, 1e3 * (_cpu_s(bench) - before) / elements


def _stored(sender: Sender, name: str) -> int:
    view: dict[str, Any] = msgspec.json.decode(sender.get(f"/v1/productions/{name}"))["view"]
    return sum(sum(one["tasks"].values()) for one in view["steps"])


def document(elements: int) -> dict[str, Any]:
    """Return the document as a central takes it."""
    words = [f"w{number}" for number in range(elements)]
    return {"main": MAIN, "texts": {MAIN: DOCUMENT}, "inputs": {"words": words}}


def _results_ms(elements: int) -> float:
    """Return the CPU time that the evaluator takes for the result of an element."""
    evaluator = Evaluator(turn_s=PATIENCE_S)  # the jobs come in one answer
    tool = Input(name="tool_job.py", sha256="0" * 64, size_bytes=1)
    given = CwlDocument(**document(elements), tool=tool)
    evaluator.answer(Begin(run="1", document=given, at=0.0))
    first = _advanced(evaluator, {})
    assert isinstance(first, Advanced)
    wanted = first.jobs
    assert len(wanted) == elements
    results = {one.key: _result(one.spec["stdout"]) for one in wanted}
    keys, before = list(results), time.process_time()
    answer: Answer = first
    for start in range(0, elements, TAKEN):
        some = {key: results[key] for key in keys[start : start + TAKEN]}
        answer = _advanced(evaluator, some)
    took = time.process_time() - before
    assert isinstance(answer, Ended) and answer.status == "success", answer
    assert len(answer.outputs["said"]) == elements
    return 1e3 * took / elements


def _advanced(evaluator: Evaluator, results: dict[str, Any]) -> Answer:
    """Give results as a central does: as lines, with their encoding."""
    call = decoded(msgspec.json.encode(Advance(run="1", results=results)))
    return msgspec.json.decode(encoded(evaluator.answer(call)), type=Answer)


def _result(path: str) -> dict[str, Any]:
    file = {"path": path, "kind": "file", "bytes": 3, "sha1": "0" * 40, "head": b"abc".hex()}
    return {"code": 0, "status": tool_job.SUCCESS, "why": "", "files": [file]}
