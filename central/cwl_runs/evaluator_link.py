"""The process that evaluates CWL documents: started when it is needed, ended when it is slow."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from importlib.util import find_spec
from typing import Final, Protocol

import msgspec

from pilotage.proto.problems import Code

from ..cwl.messages import Answer, Call
from ..errors import Refused
from ..observe.events import Log

WALL_S: Final = 300.0  # for one answer
ANSWER_MAX: Final = 1 << 30  # bytes
MODULE: Final = "pilotage.central.cwl.evaluator"
QUOTED: Final = 500  # characters of its last words
_decoded: Final = msgspec.json.Decoder(Answer).decode


class EvaluatorEnded(Exception):
    """The evaluator ended, or was too slow. The argument says why."""


class Evaluates(Protocol):
    """What evaluates documents."""

    async def ask(self, call: Call) -> Answer:
        """Return the answer to a call. Raises EvaluatorEnded; then no run is known any more."""
        ...


class EvaluatorLink:
    """Asks the evaluator, one call at a time."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def ask(self, call: Call) -> Answer:
        """Return the answer to a call. Raises Refused if the library is not installed."""
        if find_spec("cwltool") is None:
            why = "cwl: this central has no CWL library: install pilotage[cwl] there"
            raise Refused(Code.INVALID, why, field="cwl")
        async with self._turn:
            try:
                async with asyncio.timeout(WALL_S):
                    return await self._answer(msgspec.json.encode(call))
            except TimeoutError:
                await self._end(f"no answer after {WALL_S:.0f} s")
            except (OSError, EOFError, asyncio.IncompleteReadError, msgspec.DecodeError) as why:
                await self._end(str(why))
            except asyncio.CancelledError:
                self._kill()  # its next answer would be that to this call
                raise
        raise AssertionError("unreachable")

    async def _answer(self, call: bytes) -> Answer:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                MODULE,
                stdin=PIPE,
                stdout=PIPE,
                limit=ANSWER_MAX,
                env={},
            )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(call + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError("it ended without an answer")
        return _decoded(line)

    async def _end(self, why: str) -> None:
        """End the process. Raises EvaluatorEnded."""
        process = self._process
        self._kill()
        if process is not None:
            await process.wait()
        self._log("cwl_evaluator_ended", why=why[:QUOTED])
        raise EvaluatorEnded(why[:QUOTED])

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        self._process = None
