"""Routes of the pilot's file, its signature and the script that fetches it. Anybody may ask.

A pilot's node has no token yet, and the files are no secret: what counts is who has signed them.
"""

import base64

from litestar.types import ASGIApp

from pilotage.proto.api import PilotFile
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.signature import PilotFiles
from .answers import Answer, Headers, encoded
from .call import Call


async def bundle(call: Call) -> ASGIApp:
    """Answer with file and signature at once: two answers may be of two versions."""
    files = await _files(call)
    headers: Headers = [
        (b"etag", f'"{files.sha256}"'.encode()),
        (b"pilotage-signature", base64.b64encode(files.signed.signature)),
        (b"pilotage-version", files.version.encode()),
    ]
    if f'"{files.sha256}"' in call.header(b"if-none-match"):
        return Answer(b"", status=304, headers=headers)
    return Answer(files.signed.content, media="application/zip", headers=headers)


async def signature(call: Call) -> ASGIApp:
    return Answer((await _files(call)).signed.signature, media="application/octet-stream")


async def key(call: Call) -> ASGIApp:
    return Answer((await _files(call)).signed.key_pem, media="application/x-pem-file")


async def told(call: Call) -> ASGIApp:
    files = await _files(call)
    return encoded(
        PilotFile(
            version=files.version,
            size=len(files.signed.content),
            sha256=files.sha256,
            signature=base64.b64encode(files.signed.signature).decode(),
            key=files.signed.key.hex(),
        )
    )


async def script(call: Call) -> ASGIApp:
    return Answer((await _files(call)).script, media="text/x-shellscript")


async def _files(call: Call) -> PilotFiles:
    files = await call.face.pilot_files()
    if files is None:
        raise Refused(Code.NOT_FOUND, "this central has no pilot.pyz")
    return files
