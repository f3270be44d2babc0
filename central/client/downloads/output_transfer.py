"""The transfer of many outputs: small ones come in bundles, large ones one by one."""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, aclosing
from pathlib import Path
from typing import BinaryIO, Final, Protocol
from urllib.parse import quote

from pilotage.proto.api.file_bundles import BundleReader
from pilotage.proto.api.outputs import OutputChoice, OutputName

from ..errors import BadAnswer, BadDownload, NotFound, TooManyRequests, Unavailable, Unreachable
from ..pace import Pace, pauses
from ..transfers.parallel import ByteCount, OnBytes, in_parallel
from ..transport import Transport
from .output_plan import WantedOutput

SMALL_BYTES: Final = 1 << 20  # larger outputs come one by one
BUNDLE_FILES: Final = 500
BUNDLE_BYTES: Final = 8 << 20
_WRITTEN_BYTES: Final = 1 << 20  # written at once
_WRITTEN_FILES: Final = 100
_IDLE_S: Final = 60.0
_NOT_NOW: Final = (Unreachable, Unavailable, TooManyRequests)


class OutputSink(Protocol):
    """What takes the bytes of outputs. All methods block."""

    @property
    def parallel(self) -> int:
        """How many threads may use it at once."""
        ...

    def take(self, outputs: Sequence[tuple[WantedOutput, bytes]]) -> None:
        """Take whole outputs."""
        ...

    def receiving(self, one: WantedOutput) -> AbstractContextManager[tuple[BinaryIO, Path]]:
        """Give a file for the bytes of an output, which is whole at the end of the block."""
        ...


class OutputTransfer:
    """One command that fetches outputs."""

    def __init__(
        self, transport: Transport, pace: Pace, sink: OutputSink, *, patience_s: float
    ) -> None:
        self._transport, self._pace, self._sink = transport, pace, sink
        self._patience_s = patience_s
        self.lost: list[WantedOutput] = []  # the central no longer has them

    async def run(self, wanted: Sequence[WantedOutput], on_progress: OnBytes | None) -> None:
        """Fetch outputs. Interrupted requests are repeated for what they lack.

        Raises BadDownload if bytes have another hash: nothing of that file was written.
        """
        self._count = ByteCount(sum(one.size for one in wanted), on_progress)
        work = in_parallel(
            bundles_of(wanted),
            self._patiently,
            parallel=self._sink.parallel,
            count=self._count,
            pace=self._pace,
        )
        async with aclosing(work):
            async for _ in work:
                pass
        self._count.show()

    async def _patiently(self, bundle: list[WantedOutput]) -> None:
        """Fetch a bundle. The patience begins again with each file that comes."""
        left, until = len(bundle), self._pace.monotonic() + self._patience_s
        for pause_s in pauses(self._pace):
            try:
                if len(bundle) == 1:
                    await self._fetch_alone(bundle[0])
                else:
                    await self._fetch(bundle)
                return
            except _NOT_NOW as why:
                if len(bundle) < left:
                    left, until = len(bundle), self._pace.monotonic() + self._patience_s
                if self._pace.monotonic() + pause_s > until:
                    raise
                self._transport.repeats(str(why), pause_s)
                await self._pace.sleep(pause_s)

    async def _fetch(self, bundle: list[WantedOutput]) -> None:
        """Fetch the outputs of a bundle, and remove from it what has been taken."""
        files = tuple(OutputName(job=one.job, name=one.name) for one in bundle)
        reader, got, waiting = BundleReader(), list[tuple[WantedOutput, bytes | None]](), 0
        async with self._transport.stream(
            "/v1/jobs/outputs", body=OutputChoice(files=files), idle_s=_IDLE_S
        ) as answer:
            async for data in answer.aiter_bytes():
                waiting += len(data)
                try:
                    for content in reader.read(data):
                        got.append((bundle[len(got)], content))
                except (ValueError, IndexError) as why:
                    what = "POST /v1/jobs/outputs"
                    raise BadAnswer(self._transport.url, what, str(why)) from None
                if len(got) >= _WRITTEN_FILES or waiting >= _WRITTEN_BYTES:
                    waiting = 0
                    await self._take(bundle, got)
        await self._take(bundle, got)
        if bundle:
            raise Unreachable(
                self._transport.url, "POST /v1/jobs/outputs", "the answer ended too early"
            )

    async def _take(
        self, bundle: list[WantedOutput], got: list[tuple[WantedOutput, bytes | None]]
    ) -> None:
        here = [(one, content) for one, content in got if content is not None]
        await asyncio.to_thread(self._write, here)
        self.lost += [one for one, content in got if content is None]
        self._count.add(sum(one.size for one, _ in got))
        del bundle[: len(got)]
        got.clear()

    def _write(self, here: Sequence[tuple[WantedOutput, bytes]]) -> None:
        for one, content in here:
            _check(one, hashlib.sha256(content).hexdigest())
        self._sink.take(here)

    async def _fetch_alone(self, one: WantedOutput) -> None:
        path, digest = f"/v1/jobs/{one.job:d}/outputs/{quote(one.name)}", hashlib.sha256()
        try:
            async with self._transport.stream(path, idle_s=_IDLE_S) as answer:
                with self._sink.receiving(one) as (file, part):
                    self._count.growing.add(part)
                    try:
                        async for data in answer.aiter_bytes():
                            digest.update(data)
                            file.write(data)
                        _check(one, digest.hexdigest())
                    finally:
                        self._count.growing.discard(part)
        except NotFound:
            self.lost.append(one)
        self._count.add(one.size)


def bundles_of(wanted: Iterable[WantedOutput]) -> list[list[WantedOutput]]:
    """Return the outputs in order, in lists for one request each. A large one is alone."""
    bundles, size = list[list[WantedOutput]](), 0
    for one in wanted:
        is_large = one.size > SMALL_BYTES
        is_full = not bundles or len(bundles[-1]) >= BUNDLE_FILES or size + one.size > BUNDLE_BYTES
        if is_large or is_full:
            bundles.append([])
            size = BUNDLE_BYTES if is_large else 0  # nothing joins a large one
        bundles[-1].append(one)
        size += one.size
    return bundles


def _check(one: WantedOutput, found: str) -> None:
    if found != one.sha256:
        raise BadDownload(f"{one.name} of job {one.job}", one.sha256, found)
