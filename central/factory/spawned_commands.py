"""The driver of Commands: passes programs to the spawner process and waits for their end."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from .commands import OUTPUT_BYTES_MAX, CommandNotStarted, CommandOutcomeUnknown, CompletedCommand
from .spawner import LENGTH_BYTES, ProgramOrder, ProgramResult, framed

LATER_S = 10.0  # beyond a program's timeout: then the spawner counts as hung
END_S = 5.0


class SpawnedCommands:
    """Runs commands through one spawner, which is started at need."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[ProgramResult]] = {}
        self._starting = asyncio.Lock()
        self._n = 0

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        """Run a program to its end. Raises CommandOutcomeUnknown and CommandNotStarted."""
        process = await self._spawner()
        self._n += 1
        order = ProgramOrder(
            self._n, list(argv), stdin, dict(environment or {}), timeout_s, OUTPUT_BYTES_MAX
        )
        future = asyncio.get_running_loop().create_future()
        self._waiting[order.n] = future
        try:
            async with asyncio.timeout(timeout_s + LATER_S):
                assert process.stdin is not None
                process.stdin.write(framed(order))
                await process.stdin.drain()
                outcome: ProgramResult = await future
        except (TimeoutError, ConnectionError):
            raise CommandOutcomeUnknown(f"{argv[0]}: its outcome is unknown") from None
        finally:
            self._waiting.pop(order.n, None)
            if not future.done() or future.cancelled():  # no caller waits: end the program
                self._end(process, order.n)
        if outcome.not_started:
            raise CommandNotStarted(outcome.not_started)
        if outcome.code is None:
            raise CommandOutcomeUnknown(f"{argv[0]}: not ended after {timeout_s:g} s")
        return CompletedCommand(outcome.code, outcome.out, outcome.err, outcome.is_cut)

    def _end(self, process: asyncio.subprocess.Process, n: int) -> None:
        if process.stdin is not None and process.returncode is None:
            process.stdin.write(framed(ProgramOrder(n, [], b"", {}, 0.0, 0)))

    async def _spawner(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                try:
                    self._process = await asyncio.create_subprocess_exec(
                        *(sys.executable, "-m", "pilotage.central.factory.spawner"),
                        stdin=asyncio.subprocess.PIPE,
                        stdout=asyncio.subprocess.PIPE,
                    )
                except OSError as why:
                    raise CommandNotStarted(f"the spawner: {why}") from None
                self._listening = self._group.create_task(self._listen(self._process))
            return self._process

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
                data = await process.stdout.readexactly(length)
                outcome = msgspec.msgpack.decode(data, type=ProgramResult)
                future = self._waiting.get(outcome.n)
                if future is not None and not future.done():
                    future.set_result(outcome)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the spawner has ended"))
        await process.wait()

    async def close(self) -> None:
        """End the spawner and the programs that it runs."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
        if self._listening is not None:
            await self._listening


@asynccontextmanager
async def spawned() -> AsyncGenerator[SpawnedCommands]:
    """Yield Commands; end the spawner with the block."""
    async with asyncio.TaskGroup() as group:
        commands = SpawnedCommands(group)
        try:
            yield commands
        finally:
            await commands.close()
