"""A process beside the central that runs programs for it, and ends with it.

Orders arrive on stdin as msgpack with their length in front. Results leave in the same form on
stdout.
"""

import asyncio
import contextlib
import os
import signal
import sys
from functools import partial

import msgspec

AT_ONCE = 64  # of all elements; the central limits each element
LENGTH_BYTES = 4
ORDER_BYTES_MAX = 64_000_000
KILLED_WAIT_S = 5.0


class ProgramOrder(msgspec.Struct, frozen=True):
    """An order to run one program; without words, an order to end the program of this number."""

    n: int
    argv: list[str]
    stdin: bytes
    environment: dict[str, str]
    timeout_s: float
    output_max: int


class ProgramResult(msgspec.Struct, frozen=True):
    """The result of a program. Without a code, it did not start, or was killed at its timeout."""

    n: int
    code: int | None = None
    out: bytes = b""
    err: bytes = b""
    is_cut: bool = False
    not_started: str = ""


def framed(message: ProgramOrder | ProgramResult) -> bytes:
    """Return a message in the form of the pipe."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class _Pipe:
    """Output of a program up to a bound. The rest is read and dropped, so the program can end."""

    def __init__(self, most: int) -> None:
        self.data, self.is_cut, self._most = bytearray(), False, most

    async def drain(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(65_536):
            room = self._most - len(self.data)
            self.data += chunk[:room]
            self.is_cut = self.is_cut or len(chunk) > room


async def carry_out(order: ProgramOrder) -> ProgramResult:
    """Run one program in its own session, which is killed as a whole at the timeout."""
    try:
        process = await asyncio.create_subprocess_exec(
            *order.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", **order.environment},
            start_new_session=True,
            cwd="/",
        )
    except (OSError, ValueError) as why:
        return ProgramResult(order.n, not_started=f"{order.argv[0]}: {why}")
    out, err = _Pipe(order.output_max), _Pipe(order.output_max)
    try:
        async with asyncio.timeout(order.timeout_s):
            await _converse(process, order.stdin, out, err)
    except TimeoutError:
        return ProgramResult(order.n)
    finally:
        await _end(process)
    return ProgramResult(
        order.n, process.returncode, bytes(out.data), bytes(err.data), out.is_cut or err.is_cut
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the session of a program; even if it has ended, it may have left daemons."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILLED_WAIT_S):
                await process.wait()


async def _converse(
    process: asyncio.subprocess.Process, stdin: bytes, out: _Pipe, err: _Pipe
) -> None:
    assert process.stdin and process.stdout and process.stderr
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(process.stdin, stdin))
        group.create_task(out.drain(process.stdout))
        group.create_task(err.drain(process.stderr))
    await process.wait()


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it stopped reading its input
        stream.write(data)
        await stream.drain()
        stream.close()
        await stream.wait_closed()


async def serve(orders: asyncio.StreamReader, outcomes: asyncio.StreamWriter) -> None:
    """Carry out orders until the input ends; then end all running programs."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(order: ProgramOrder) -> None:
        async with places:
            outcomes.write(framed(await carry_out(order)))

    async with asyncio.TaskGroup() as group:
        running: dict[int, asyncio.Task[None]] = {}
        while True:
            try:
                length = int.from_bytes(await orders.readexactly(LENGTH_BYTES), "big")
                data = await orders.readexactly(length)
            except asyncio.IncompleteReadError:
                break
            order = msgspec.msgpack.decode(data, type=ProgramOrder)
            if not order.argv:
                if order.n in running:
                    running[order.n].cancel()
                continue
            running[order.n] = task = group.create_task(one(order))
            task.add_done_callback(partial(_forget, running, order.n))
        for task in running.values():
            task.cancel()


def _forget(running: dict[int, asyncio.Task[None]], n: int, _: asyncio.Task[None]) -> None:
    del running[n]


async def main() -> None:
    """Serve the process that started this one."""
    # A terminal sends its signals to all processes, and the central decides. Use a handler:
    # programs would inherit an ignored signal, but they inherit no handler.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: None)
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=ORDER_BYTES_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, sys.stdout.buffer
    )
    await serve(orders, asyncio.StreamWriter(transport, protocol, None, loop))


if __name__ == "__main__":
    asyncio.run(main())
