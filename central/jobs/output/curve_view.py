"""The resource curve of a job and the end of its output, live while it runs."""

from pilotage.proto import curve as lines
from pilotage.proto.api.jobs import Curve, CurvePoint, Peek
from pilotage.proto.messages import KEPT_BYTES, Output, Stream
from pilotage.proto.problems import Code

from ...errors import Refused
from ...identity.callers import Caller, User
from ...identity.policy import Permission
from ...observe.times import shown
from ...ports import Blobs
from ...store.engine import Store
from .. import record as job_records
from ..attempt_view import given, kept_stream, written
from ..queries import Queries
from ..record_types import AttemptRow
from .live_logs import LiveLogs, OutputTails

POINTS_MAX = 2_000  # points in one answer; of longer curves, every second or third point is shown
LIVE_CURVE_S = 5.0  # longest wait for a curve from a pilot


class JobInspector:
    """Shows curves and output of jobs. It changes nothing."""

    def __init__(self, store: Store, queries: Queries, live: LiveLogs, blobs: Blobs) -> None:
        self._store, self._queries, self._live, self._blobs = store, queries, live, blobs

    async def curve(self, caller: Caller, job_id: int, epoch: int | None) -> Curve:
        """Return the resource curve of an attempt, by default of the newest that has one.

        While the attempt runs, the curve ends now. Raises Refused (NOT_FOUND or TOO_MANY).
        """
        assert isinstance(caller, User)
        await self._queries.row(caller, job_id, Permission.JOB_READ)
        attempts = await self._store.read(job_records.attempts, job_id)
        chosen = [one for one in attempts if epoch in (None, one.epoch)]
        if not chosen and epoch is not None:
            why = f"job {job_id} has no attempt {epoch}"
            raise Refused(Code.NOT_FOUND, why, field="epoch")
        if chosen and chosen[-1].live:
            look = await self._live.look(caller, job_id, wait_s=LIVE_CURVE_S)
            if look is not None and look.lease.epoch == chosen[-1].epoch:
                points = _points_of(look)
                if points or epoch is not None:
                    return _curve(chosen[-1], points, live=True)
        for one in reversed(chosen):
            kept = kept_stream(one, Stream.USAGE)
            if kept is not None:
                content = await self._content(kept)
                return _curve(one, _points(lines.samples(content.decode("utf-8", "replace"))))
        return _curve(chosen[-1], []) if epoch is not None else Curve(job=job_id)

    async def peek(self, caller: Caller, job_id: int, *, bytes_max: int, wait_s: float) -> Peek:
        """Return the end of a job's output. While the job runs, ask its pilot.

        Raises Refused (NOT_FOUND or TOO_MANY).
        """
        assert isinstance(caller, User)
        await self._queries.row(caller, job_id, Permission.JOB_OUTPUT)
        look = await self._live.look(caller, job_id, wait_s=wait_s)
        if look is not None:
            at = self._queries.heard_at(None if look.complete else look.lease)
            return _peek(job_id, look, bytes_max, at=shown(at))
        attempts = await self._store.read(job_records.attempts, job_id)
        for one in reversed(attempts):
            if one.ended_at is not None and one.how is not None:
                return await self._kept_peek(one, bytes_max)
        return Peek(job=job_id)

    async def _kept_peek(self, attempt: AttemptRow, bytes_max: int) -> Peek:
        found: dict[Stream, bytes] = {}
        for stream in Stream:
            kept = kept_stream(attempt, stream)
            found[stream] = b"" if kept is None else await self._content(kept)
        points = _points(lines.samples(found[Stream.USAGE].decode("utf-8", "replace")))
        return Peek(
            job=attempt.job_id,
            epoch=attempt.epoch,
            stdout=_text(found[Stream.OUT], bytes_max),
            stderr=_text(found[Stream.ERR], bytes_max),
            stdout_bytes=written(kept_stream(attempt, Stream.OUT)),
            stderr_bytes=written(kept_stream(attempt, Stream.ERR)),
            usage=points[-1] if points else None,
            at=shown(attempt.ended_at),
        )

    async def _content(self, kept: Output) -> bytes:
        """Return the stored end of a stream, or nothing if it is missing or impossibly long."""
        size = await self._blobs.size(kept.sha256)
        if size is None or size > KEPT_BYTES:
            return b""
        return b"".join([part async for part in self._blobs.read(kept.sha256)])


def _peek(job_id: int, look: OutputTails, bytes_max: int, *, at: str) -> Peek:
    out, err = look.ends.get(Stream.OUT), look.ends.get(Stream.ERR)
    points = _points_of(look)
    return Peek(
        job=job_id,
        epoch=look.lease.epoch,
        live=True,
        complete=look.complete,
        at=at,
        stdout=_text(out.data, bytes_max) if out else "",
        stderr=_text(err.data, bytes_max) if err else "",
        stdout_bytes=out.size if out else 0,
        stderr_bytes=err.size if err else 0,
        usage=points[-1] if points else None,
    )


def _curve(attempt: AttemptRow, points: list[CurvePoint], *, live: bool = False) -> Curve:
    return Curve(
        job=attempt.job_id,
        epoch=attempt.epoch,
        live=live,
        **given(attempt.grant, Curve),
        points=points,
    )


def _points_of(look: OutputTails) -> list[CurvePoint]:
    end = look.ends.get(Stream.USAGE)
    if end is None:
        return []
    text = end.data.decode("utf-8", "replace")
    if end.start:  # its first line may be cut off
        text = text.partition("\n")[2]
    return _points(lines.samples(text, whole=False))


def _points(found: list[lines.UsageSample]) -> list[CurvePoint]:
    step = len(found) // POINTS_MAX + 1
    return [CurvePoint(**one._asdict()) for one in found[::step]]


def _text(data: bytes, bytes_max: int) -> str:
    """Return the last bytes as text, without a partial character at the beginning."""
    end = data[-bytes_max:] if bytes_max else b""
    if len(end) < len(data):
        while end and end[0] & 0b1100_0000 == 0b1000_0000:
            end = end[1:]
    return end.decode("utf-8", "replace")
