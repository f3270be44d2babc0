"""The service of blobs: inputs from submitters and outputs of attempts, stored once by content."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial
from typing import Final, Protocol

from pilotage.proto.api.file_bundles import MISSING, size_line
from pilotage.proto.api.jobs import Blob, BlobAnswer, BlobQuery
from pilotage.proto.problems import Code

from ...accounts.disk_room import OF_OUTPUTS, OF_PEOPLE, OF_SMALL_OUTPUTS, SMALL_BYTES, DiskRoom
from ...accounts.holdings import Holdings
from ...errors import Refused
from ...identity.callers import AttemptCaller, Caller, User
from ...identity.record_types import Holder
from ...ports import Blobs
from ...settings import SandboxSettings

TOGETHER: Final = 16  # files of a bundle that are read at once, if they are small
BUNDLED_BYTES: Final = 32_768  # a small file


class KnowsHolders(Protocol):
    """Finds who holds the files of an attempt."""

    async def holder(self, caller: AttemptCaller) -> Holder:
        """Return the holder. Raises Refused, for example if the attempt is over."""
        ...


class Sandbox:
    """Stores and reads blobs for their holders.

    A content is stored once. Each owner that uploads it holds it and is charged for it. Other users
    cannot find out that it exists.
    """

    def __init__(
        self,
        blobs: Blobs,
        attempts: KnowsHolders,
        holdings: Holdings,
        room: DiskRoom,
        settings: SandboxSettings,
    ) -> None:
        self._blobs, self._attempts, self._holdings = blobs, attempts, holdings
        self._room, self._settings = room, settings

    @property
    def file_bytes_max(self) -> int:
        """The maximum size of a file."""
        return self._settings.blob_bytes_max

    async def put(
        self, caller: Caller, sha256: str, chunks: AsyncIterator[bytes], length: int | None
    ) -> Blob:
        """Store a file. It is durable when this returns.

        Raises Refused (TOO_LARGE, INVALID, FORBIDDEN, NOT_LEADER, OVER_QUOTA or STORE_FULL).
        """
        holder = await self._holder(caller)
        size_max = self.file_bytes_max
        if length is not None and length > size_max:
            raise Refused(
                Code.TOO_LARGE,
                f"the file has {length} bytes, the maximum is {size_max}: store larger files with "
                "`pilotage data put`",
            )
        left = await self._holdings.left(holder, sha256)
        if left is not None and length is not None and length > left:
            await self._holdings.refuse(holder, length)
        share = _share(caller, length)
        await self._room.check_upload(length or 0, share=share)
        bounded = self._holdings.bounded(chunks, holder, left)
        parts = self._room.watched(bounded, share=share)
        admit = partial(self._holdings.hold, holder, sha256)
        size = await self._blobs.put(sha256, parts, size_max=size_max, admit=admit)
        return Blob(sha256=sha256, size_bytes=size)

    async def missing(self, caller: Caller, query: BlobQuery) -> BlobAnswer:
        """Return the files that the caller must upload.

        An attempt must upload files that are not held in the group of its job, so that everybody
        who may see the job can read them.
        """
        holder = await self._holder(caller)
        groups = (*caller.groups, "") if isinstance(caller, User) else (holder.group,)
        hashes = list(query.sha256)
        missing = await self._holdings.missing(holder.owner_id, hashes, groups)
        return BlobAnswer(missing=missing, bytes_max=self.file_bytes_max)

    async def read(self, caller: Caller, sha256: str) -> tuple[int, AsyncIterator[bytes]]:
        """Return size and content of a file. Raises Refused (NOT_FOUND), also if it is not held."""
        of = await self._attempts.holder(caller) if isinstance(caller, AttemptCaller) else None
        size = None
        if await self._holdings.may_read(caller, sha256, of):
            size = await self._blobs.size(sha256)
        if size is None:
            raise Refused(Code.NOT_FOUND, f"there is no file {sha256}", field="sha256")
        return size, self._blobs.read(sha256)

    async def bundle(self, caller: User, hashes: Sequence[str | None]) -> AsyncGenerator[bytes]:
        """Yield files as a bundle (`proto/api/file_bundles.py`). Unreadable files are missing."""
        wanted = sorted({one for one in hashes if one is not None})
        readable = await self._holdings.readable(caller, wanted)
        for start in range(0, len(hashes), TOGETHER):
            some = [one if one in readable else None for one in hashes[start : start + TOGETHER]]
            found = await self._beginnings(some)
            small = bytearray()
            for one in some:
                content = found.get(one)
                if one is None or content is None:
                    small += MISSING
                elif len(content) <= BUNDLED_BYTES:
                    small += size_line(len(content)) + content
                else:
                    size = await self._blobs.size(one)
                    yield bytes(small) + (MISSING if size is None else size_line(size))
                    small.clear()
                    if size is not None:
                        async for part in self._blobs.read(one):
                            yield part
            yield bytes(small)

    async def _beginnings(self, hashes: Sequence[str | None]) -> dict[str | None, bytes | None]:
        """Return the beginnings of files; a small one is whole."""
        named = list({one for one in hashes if one is not None})
        read = await self._blobs.beginnings(named, BUNDLED_BYTES + 1)
        return dict(zip(named, read, strict=True))

    async def _holder(self, caller: Caller) -> Holder:
        """Return the account that is charged for a caller's uploads."""
        if isinstance(caller, AttemptCaller):
            return await self._attempts.holder(caller)
        assert isinstance(caller, User), "the policy allows uploads only to users and attempts"
        return await self._holdings.holder(caller)


def _share(caller: Caller, length: int | None) -> float:
    """Return the share of the reserve that an upload must leave free."""
    if not isinstance(caller, AttemptCaller):
        return OF_PEOPLE
    return OF_SMALL_OUTPUTS if length is not None and length <= SMALL_BYTES else OF_OUTPUTS
