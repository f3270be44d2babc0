"""The evaluator of CWL documents in this process, and pilots that play its tools."""

import json
from typing import Any

import msgspec

from pilotage.central.cwl.evaluator import Evaluator, decoded, encoded
from pilotage.central.cwl.messages import Answer, Call
from pilotage.pilot.cwl import tool_job
from pilotage.proto.messages import Assignment
from tests.fake_pilot import Script


class EvaluatorHere:
    """Answers calls at once. `forget` plays the end of its process."""

    def __init__(self) -> None:
        self._evaluator = Evaluator()

    def forget(self) -> None:
        self._evaluator = Evaluator()

    async def ask(self, call: Call) -> Answer:
        """Answer as the process would: calls and answers are lines."""
        answer = self._evaluator.answer(decoded(msgspec.json.encode(call)))
        return _decoded(encoded(answer))


_decoded = msgspec.json.Decoder(Answer).decode


def spec_of(command: tuple[str, ...]) -> dict[str, Any]:
    """Return the description of a tool in the command of its job."""
    found: dict[str, Any] = tool_job.unpacked(command[2:])
    return found


def plays_tools(assignment: Assignment) -> Script:
    """Play a tool: its standard output has its words.

    `false` ends with 1, and `busy N` with its temporary code in its first N attempts.
    """
    spec = spec_of(tuple(assignment.body.command))
    words = " ".join(spec["argv"][1:])
    code, status = 0, tool_job.SUCCESS
    if spec["argv"][0] == "false":
        code, status = 1, tool_job.PERMANENT
    elif spec["argv"][0] == "busy" and assignment.epoch <= int(spec["argv"][1]):
        code, status = spec["temporary"][0], tool_job.TEMPORARY
    result = {
        "code": code,
        "status": status,
        "why": "",
        "files": [
            {
                "path": spec["stdout"],
                "kind": "file",
                "bytes": len(words),
                "sha1": "",
                "head": words.encode().hex(),
            }
        ],
    }
    return Script(
        duration_s=1.0,
        exit_code=code,
        files={
            tool_job.RESULT: json.dumps(result).encode(),
            f"{tool_job.KEPT}/{spec['stdout']}": words.encode(),
        },
    )
