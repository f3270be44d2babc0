"""Bodies of submissions: JSON for few jobs, NDJSON for many or for an unknown number."""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, cast

import msgspec

from pilotage.proto.api.jobs import Submission
from pilotage.proto.documents.job import Dependency, Job

from .job_shapes import (
    JobLike,
    ParameterSet,
    SubmittedItem,
    check_job,
    check_jobs,
    check_parameter_set,
    check_parameters,
)

OnProgress = Callable[[int], None]  # with the number of jobs that were sent

STREAM_ABOVE = 2_000
_CHUNK_BYTES = 256 * 1024
_IN_MEMORY_BYTES = 16 * 1024 * 1024


def _as_dependency(one: object) -> Dependency:
    """Return the dependency on the job or the submission of a handle."""
    from ..handles import AsyncJobHandle, AsyncSubmissionHandle

    handle = getattr(one, "core", one)
    if isinstance(handle, AsyncJobHandle):
        return Dependency(job=handle.id)
    if isinstance(handle, AsyncSubmissionHandle):
        return Dependency(submission=handle.id)
    raise TypeError(f"found {one!r}, expected a value that JSON can hold")


_ENCODE = msgspec.json.Encoder(enc_hook=_as_dependency).encode


def whole_body(header: Submission, items: Sequence[SubmittedItem]) -> bytes:
    """Return the submission as one JSON object."""
    check = _check_of(header)
    for item in items:
        check(item)
    raw = [msgspec.Raw(_ENCODE(item)) for item in items]
    if header.template is None:
        return _ENCODE(msgspec.structs.replace(header, jobs=raw))
    return _ENCODE(msgspec.structs.replace(header, parameters=raw))


def reporting(
    body: bytes, count: int, on_progress: OnProgress | None
) -> Callable[[], AsyncIterator[bytes]]:
    """Return the body as the content of a request, which reports its `count` jobs when sent."""

    async def chunks() -> AsyncIterator[bytes]:
        if on_progress is not None:
            on_progress(count)
        yield body

    return chunks


class LineBody:
    """The submission as NDJSON. It can be sent again from the start.

    A list is encoded again. The sent items of an iterator are kept in a temporary file, so that a
    retried request has the same bytes under the same key. The iterator runs in a thread: it may
    block, or call the same client.
    """

    def __init__(
        self,
        header: Submission,
        items: Iterable[SubmittedItem],
        on_progress: OnProgress | None = None,
    ) -> None:
        self._header, self._items, self._on_progress = header, items, on_progress
        self._check = _check_of(header)
        self._fresh: Iterator[bytes] = iter(())
        self._kept: IO[bytes] | None = None
        self._walking = threading.Lock()  # a cancelled request may still wait for an item

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the whole body, beginning with the header."""
        yield _ENCODE(self._header) + b"\n"
        sent = 0
        async for chunk in self._lines():
            sent += chunk.count(b"\n")
            if self._on_progress is not None:
                self._on_progress(sent)
            yield chunk

    async def _lines(self) -> AsyncIterator[bytes]:
        if isinstance(self._items, Sequence):
            for chunk in _encoded(iter(self._items), self._check):
                yield chunk
            return
        if self._kept is None:
            # No `with` here: the file stays open until `close`.
            spool = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
            self._kept = cast(IO[bytes], spool)
            self._fresh = _encoded(iter(self._items), self._check)
        offset = 0
        while chunk := await asyncio.to_thread(self._after, self._kept, offset):
            offset += len(chunk)
            yield chunk

    def _after(self, kept: IO[bytes], offset: int) -> bytes:
        """Return the bytes after `offset`: kept ones, or else those of the next items."""
        with self._walking:
            kept.seek(offset)
            chunk = kept.read(_CHUNK_BYTES)
            if not chunk:
                chunk = next(self._fresh, b"")
                kept.write(chunk)
            return chunk

    def close(self) -> None:
        if self._kept is not None and self._walking.acquire(blocking=False):
            self._kept.close()
            self._walking.release()


def _check_of(header: Submission) -> Callable[[object], None]:
    return check_job if header.template is None else check_parameter_set


def _encoded(items: Iterator[SubmittedItem], check: Callable[[object], None]) -> Iterator[bytes]:
    lines = bytearray()
    for item in items:
        check(item)
        lines += _ENCODE(item)
        lines += b"\n"
        if len(lines) >= _CHUNK_BYTES:
            yield bytes(lines)
            lines = bytearray()
    if lines:
        yield bytes(lines)


def with_group(items: Iterable[SubmittedItem], group: str) -> Iterator[SubmittedItem]:
    """Yield the jobs. A job without a group gets this group."""
    for item in items:
        if isinstance(item, Job):
            yield item if item.group else msgspec.structs.replace(item, group=group)
        else:
            yield {"group": group, **item}


def submission(
    jobs: JobLike | Iterable[JobLike] | None,
    template: JobLike | None,
    parameters: Iterable[ParameterSet] | None,
    *,
    key: str,
    name: str,
    group: str,
    running_max: int = 0,
) -> tuple[Submission, Iterable[SubmittedItem]]:
    """Return the header of a submission, and its jobs or parameters.

    Raises ValueError unless there are either jobs, or a template with parameters; and TypeError for
    values of wrong types.
    """
    _check_arguments(jobs, template, parameters)
    if template is not None:
        check_job(template)
        check_parameters(parameters)
        whole = next(with_group([template], group)) if group else template
        made = Submission(key=key, name=name, template=cast(Job, whole), running_max=running_max)
        return made, cast(Iterable[SubmittedItem], parameters)
    check_jobs(jobs)
    items: Iterable[SubmittedItem]
    if isinstance(jobs, (Job, Mapping)):
        items = [cast(SubmittedItem, jobs)]
    else:
        items = cast(Iterable[SubmittedItem], jobs)
    if group:
        labelled = with_group(items, group)
        items = list(labelled) if isinstance(items, Sequence) else labelled
    return Submission(key=key, name=name, running_max=running_max), items


def _check_arguments(jobs: object, template: object, parameters: object) -> None:
    """Raise ValueError, with the right form, unless the arguments of `submit` fit together."""
    if jobs is not None and template is not None:
        raise ValueError("jobs and template: give either jobs, or a template with parameters")
    if jobs is not None and parameters is not None:
        raise ValueError(
            "parameters need a template: write submit(template=job, parameters=[{'x': 1}, …])"
        )
    if template is not None and parameters is None:
        raise ValueError(
            "template needs parameters=[{'x': 1}, …], one entry for each job; to submit one job,"
            " write submit(job)"
        )
    if jobs is None and template is None:
        raise ValueError(
            "there is nothing to submit: give jobs, or a template with parameters, as in"
            " submit(Job(command=('echo', 'hello')))"
        )
