"""Files that travel with jobs: inputs of submitters, outputs of attempts; once per content."""

from collections.abc import AsyncIterator

from pilotage.proto.api import Blob, BlobAnswer, BlobQuery
from pilotage.proto.problems import Code

from ..auth.callers import AttemptCaller, Caller
from ..errors import Refused
from ..ports import Blobs
from ..settings import SandboxSettings
from .leases import LeaseTable


class Sandbox:
    """Blobs, for those who may hold them.

    Whoever knows the SHA-256 of a file may read it: the hash is in nobody's hands but of those who
    have the file, or may read the outputs of a job that names it.
    """

    def __init__(self, blobs: Blobs, leases: LeaseTable, settings: SandboxSettings) -> None:
        self._blobs, self._leases, self._settings = blobs, leases, settings

    @property
    def file_bytes_max(self) -> int:
        """The largest file that is taken."""
        return self._settings.blob_bytes_max

    async def put(
        self, caller: Caller, sha256: str, chunks: AsyncIterator[bytes], length: int | None
    ) -> Blob:
        """Store a file; durable when it returns. Raises Refused: TOO_LARGE, INVALID, FORBIDDEN."""
        await self._check_attempt(caller)
        size_max = self.file_bytes_max
        if length is not None and length > size_max:
            raise Refused(Code.TOO_LARGE, f"a file of {length} bytes; at most {size_max} are taken")
        size = await self._blobs.put(sha256, chunks, size_max=size_max)
        return Blob(sha256=sha256, size_bytes=size)

    async def missing(self, caller: Caller, query: BlobQuery) -> BlobAnswer:
        """Say which files are not here yet."""
        return BlobAnswer(missing=await self._blobs.missing(list(query.sha256)))

    async def read(self, caller: Caller, sha256: str) -> tuple[int, AsyncIterator[bytes]]:
        """Return size and content of a file."""
        await self._check_attempt(caller)
        size = await self._blobs.size(sha256)
        if size is None:
            raise Refused(Code.NOT_FOUND, f"there is no file {sha256}", field="sha256")
        return size, self._blobs.read(sha256)

    async def _check_attempt(self, caller: Caller) -> None:
        """An attempt whose result can no longer count uploads and fetches nothing."""
        if isinstance(caller, AttemptCaller):
            lease = self._leases.find(caller.job, caller.epoch)
            # After a store was set back another attempt has the same job and epoch.
            if lease is None or lease.attempt_id != caller.attempt_id:
                raise Refused(
                    Code.FORBIDDEN,
                    f"attempt {caller.epoch} of job {caller.job} is over",
                )
