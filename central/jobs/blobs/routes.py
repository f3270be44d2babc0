"""Routes of blobs: files named by the hash of their bytes."""

import re
from typing import Final

from pilotage.proto.api import jobs
from pilotage.proto.problems import Code

from ...errors import Refused
from ...http.answers import BYTES, StreamedAnswer
from ...http.call import Call
from ...http.route import Routes
from ...identity.calls import user_or_attempt
from ...identity.policy import Permission
from .sandbox import Sandbox

ROUTES: Final = Routes[Sandbox]()
_SHA256: Final = re.compile("[0-9a-f]{64}")


@ROUTES.add("POST", "/v1/blobs/missing", Permission.BLOB_WRITE, needs_leader=False)
async def missing(sandbox: Sandbox, call: Call, body: jobs.BlobQuery) -> jobs.BlobAnswer:
    """Ask which of these blobs the central lacks."""
    for index, one in enumerate(body.sha256):
        _check(one, f"$.sha256[{index}]")
    return await sandbox.missing(user_or_attempt(call), body)


@ROUTES.add(
    "PUT",
    "/v1/blobs/{sha256}",
    Permission.BLOB_WRITE,
    needs_leader=False,
    takes=bytes,
    takes_media=(BYTES,),
)
async def put(sandbox: Sandbox, call: Call) -> jobs.Blob:
    """Store a file under the hash of its bytes. It is durable when answered."""
    body = call.body(sandbox.file_bytes_max)
    return await sandbox.put(user_or_attempt(call), _hash(call), body.parts(), body.length)


@ROUTES.add(
    "GET",
    "/v1/blobs/{sha256}",
    Permission.BLOB_READ,
    needs_leader=False,
    gives=bytes,
    gives_media=BYTES,
)
async def get(sandbox: Sandbox, call: Call) -> StreamedAnswer:
    """Fetch a blob."""
    size, parts = await sandbox.read(user_or_attempt(call), _hash(call))
    return StreamedAnswer(parts, stopping=call.face.stopping, media=BYTES, length=size)


def _hash(call: Call) -> str:
    given = call.path("sha256")
    _check(given, "sha256")
    return given


def _check(given: str, field: str) -> None:
    if not _SHA256.fullmatch(given):
        why = f"{field}: found {given[:80]!r}, expected a SHA-256 of 64 lower-case hex digits"
        raise Refused(Code.INVALID, why, field=field)
