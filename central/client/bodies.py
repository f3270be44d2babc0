"""Submissions as bytes: one JSON body for few jobs, lines for many or for an unknown number."""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, cast

import msgspec

from pilotage.proto.api import Submission
from pilotage.proto.job import Job

JobLike = Job | Mapping[str, object]
Parameters = Mapping[str, str | int | float]
Item = JobLike | Parameters
OnProgress = Callable[[int], None]  # how many jobs have been handed to the network

STREAM_ABOVE = 2_000
_CHUNK_BYTES = 256 * 1024
_IN_MEMORY_BYTES = 16 * 1024 * 1024
_ENCODE = msgspec.json.Encoder().encode


def whole_body(header: Submission, items: Sequence[Item]) -> bytes:
    """Return the submission as one JSON object."""
    raw = [msgspec.Raw(_ENCODE(item)) for item in items]
    if header.template is None:
        return _ENCODE(msgspec.structs.replace(header, jobs=raw))
    return _ENCODE(msgspec.structs.replace(header, parameters=raw))


class LineBody:
    """The submission as NDJSON, which can be sent again from the start.

    A list is simply encoded anew. What can be walked only once is kept in a temporary file as far
    as it has been sent, so that a repeated request has the same bytes under the same key.
    """

    def __init__(
        self, header: Submission, items: Iterable[Item], on_progress: OnProgress | None = None
    ) -> None:
        self._header, self._on_progress = header, on_progress
        self._again = isinstance(items, Sequence)
        self._items = items
        self._rest: Iterator[Item] | None = None
        self._kept: IO[bytes] | None = None
        self._sent = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the whole body, from the header on."""
        yield _ENCODE(self._header) + b"\n"
        if self._again:
            self._sent = 0
            for chunk in self._encoded(iter(self._items)):
                yield chunk
            return
        if self._kept is None:
            # No `with` here: the file outlives this walk, and ends with `close`.
            spool = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
            self._kept = cast(IO[bytes], spool)
            self._rest = iter(self._items)
        self._kept.seek(0)
        while kept := self._kept.read(_CHUNK_BYTES):
            yield kept
        assert self._rest is not None
        for chunk in self._encoded(self._rest):
            self._kept.write(chunk)
            yield chunk

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()

    def _encoded(self, items: Iterator[Item]) -> Iterator[bytes]:
        lines, size = bytearray(), 0
        for item in items:
            lines += _ENCODE(item)
            lines += b"\n"
            size += 1
            if len(lines) >= _CHUNK_BYTES:
                self._count(size)
                yield bytes(lines)
                lines, size = bytearray(), 0
        if lines:
            self._count(size)
            yield bytes(lines)

    def _count(self, size: int) -> None:
        self._sent += size
        if self._on_progress is not None:
            self._on_progress(self._sent)


def with_group(items: Iterable[Item], group: str) -> Iterator[Item]:
    """Yield jobs that name no group with this one."""
    for item in items:
        if isinstance(item, Job):
            yield item if item.group else msgspec.structs.replace(item, group=group)
        else:
            yield {"group": group, **item}


def submission(
    jobs: JobLike | Iterable[JobLike] | None,
    template: JobLike | None,
    parameters: Iterable[Parameters] | None,
    *,
    key: str,
    name: str,
    group: str,
) -> tuple[Submission, Iterable[Item]]:
    """Return the header of a submission and what is to be handed in under it.

    Raises ValueError where it is not clear which jobs are meant.
    """
    if (jobs is None) == (template is None) or (template is None) != (parameters is None):
        raise ValueError("submit takes either jobs, or a template and its parameters")
    if template is not None:
        whole = next(with_group([template], group)) if group else template
        made = Submission(key=key, name=name, template=cast(Job, whole))
        return made, cast(Iterable[Item], parameters)
    items: Iterable[Item]
    if isinstance(jobs, (Job, Mapping)):
        items = [cast(Item, jobs)]
    else:
        items = cast(Iterable[Item], jobs)
    if group:
        labelled = with_group(items, group)
        items = list(labelled) if isinstance(items, Sequence) else labelled
    return Submission(key=key, name=name), items
