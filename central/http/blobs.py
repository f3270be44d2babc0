"""Routes of blobs: files under the hash of their bytes."""

import re

from litestar.types import ASGIApp

from pilotage.proto import api
from pilotage.proto.problems import Code

from ..errors import Refused
from .answers import Streamed, encoded
from .call import Call

_SHA256 = re.compile("[0-9a-f]{64}")


def _hash(call: Call) -> str:
    given = call.path("sha256")
    _check(given, "sha256")
    return given


def _check(given: str, field: str) -> None:
    if not _SHA256.fullmatch(given):
        why = f"{field}: a blob is named by 64 lower-case hexadecimal digits"
        raise Refused(Code.INVALID, why, field=field)


async def put(call: Call) -> ASGIApp:
    body = call.body(call.services.sandbox.file_bytes_max)
    blob = await call.services.sandbox.put(
        call.user_or_attempt(), _hash(call), body.parts(), body.length
    )
    return encoded(blob)


async def get(call: Call) -> ASGIApp:
    size, parts = await call.services.sandbox.read(call.user_or_attempt(), _hash(call))
    return Streamed(
        parts, stopping=call.face.stopping, media="application/octet-stream", length=size
    )


async def missing(call: Call) -> ASGIApp:
    query = await call.read(api.BlobQuery)
    for index, one in enumerate(query.sha256):
        _check(one, f"$.sha256[{index}]")
    return encoded(await call.services.sandbox.missing(call.user_or_attempt(), query))
