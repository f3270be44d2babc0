"""Reads the end of an attempt's stored standard error."""

from collections.abc import Sequence
from typing import Final

from pilotage.proto.failures import STDERR_READ_BYTES
from pilotage.proto.messages import KEPT_FOLDER, Output, Stream

from ...errors import BlobNotFound
from ...observe.events import Log
from ...ports import Blobs

_NAME: Final = f"{KEPT_FOLDER}/{Stream.ERR.value}"


async def stderr_end(
    blobs: Blobs, log: Log, outputs: Sequence[Output], *, job: int, epoch: int
) -> bytes:
    """Return the last bytes of standard error among the outputs of an attempt.

    Returns nothing if it was removed or cannot be read: an exception would end the loops that call
    this function.
    """
    end = b""
    for one in outputs:
        if one.name == _NAME:
            try:
                async for part in blobs.read(one.sha256):
                    end = (end + part)[-STDERR_READ_BYTES:]
            except BlobNotFound:
                return b""
            except OSError as why:
                log("stderr_unread", job=job, epoch=epoch, why=str(why))
                return b""
    return end
