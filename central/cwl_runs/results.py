"""What the jobs of runs have put out: results, lists of files, and the starts of files."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pilotage.pilot.cwl.tool_job import RESULT
from pilotage.proto.documents.cwl import CwlDocument
from pilotage.proto.messages import Output
from pilotage.proto.transformation_states import TaskState

from ..errors import BlobNotFound
from ..jobs import record as job_records
from ..ports import Blobs
from ..store.engine import Store
from .jobs import RUNS, JobFiles, Unusable, files_of, result_of
from .record import EndedJob

CONTENT_MAX: Final = 64 << 10  # of a file that expressions read
RESULT_MAX: Final = 64 << 20
WHY_MAX: Final = 4_000


class JobResults:
    """Reads what jobs have put out."""

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store, self._blobs = store, blobs

    async def result(self, ended: EndedJob, outputs: Sequence[Output]) -> Any:
        """Return what a job said, or a text: why there is nothing."""
        job = f"job {ended.job_id}"
        if ended.state is not TaskState.DONE:
            return f"{job} is {ended.state.value}: {ended.reason}"[:WHY_MAX]
        return await self._read(job, outputs)

    async def _read(self, job: str, outputs: Sequence[Output]) -> Any:
        found = next((out for out in outputs if out.name == RESULT), None)
        if found is None:
            return f"{job} has put out no {RESULT}"
        if found.size_bytes > RESULT_MAX:
            return f"{job}: its list of files has more than {RESULT_MAX} bytes"
        try:
            return result_of(await self._blob(found.sha256, RESULT_MAX))
        except (msgspec.DecodeError, RecursionError, OSError, BlobNotFound) as why:
            return f"{job}: {RESULT} cannot be read: {why}"

    async def files(self, job_id: int) -> JobFiles:
        """Return the files that a Done job has put out."""
        attempts = await self._store.read(job_records.attempts_of_jobs, [job_id])
        outputs = outputs_of(attempts.get(job_id, []))
        return files_of(outputs, await self._read(f"job {job_id}", outputs))

    async def content(self, path: str, document: CwlDocument, its: JobFiles | None) -> bytes:
        """Return the start of a file of a run; `its` are the files of the job that made it.

        Raises Unusable if it is neither sent with the document nor put out by a job.
        """
        known = document.files.get(path)
        sha256 = known.sha256 if known is not None else ""
        if not sha256 and its is not None:
            made = its.files.get(path.removeprefix(RUNS).partition("/")[2])
            sha256 = made.sha256 if made is not None else ""
        if not sha256:
            raise Unusable(
                f"cannot read {path}: expressions read only uploaded files and outputs of this run"
            )
        try:
            return await self._blob(sha256, CONTENT_MAX + 1)
        except BlobNotFound as why:
            raise Unusable(f"cannot read {path}: {why}") from None

    async def _blob(self, sha256: str, most: int) -> bytes:
        found = bytearray()
        chunks = self._blobs.read(sha256)
        try:
            async for chunk in chunks:
                found += chunk
                if len(found) > most:
                    break
        finally:
            await chunks.aclose()  # type: ignore[attr-defined]
        return bytes(found[:most])


def outputs_of(attempts: Sequence[Any]) -> tuple[Output, ...]:
    """Return the outputs of the attempt that counted."""
    return next((one.outputs for one in reversed(attempts) if one.outputs), ())
