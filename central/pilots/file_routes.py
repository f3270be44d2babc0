"""Public routes of the pilot's file, its signature and the script that fetches it.

They need no token: a new pilot has none, and the files are not secret. Their signature protects
them.
"""

import base64
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pilotage.proto.api.pilots import PilotFile
from pilotage.proto.problems import Code

from ..errors import Refused
from ..http.answers import BYTES, Headers, HttpAnswer
from ..http.call import Call
from ..http.route import Routes
from ..identity.policy import Permission
from ..identity.signature import PilotFiles

Files = Callable[[], Awaitable[PilotFiles | None]]

ROUTES: Final = Routes[Files]()
_HERE: Final[dict[str, Any]] = {"needs_leader": False, "gives": bytes}


@ROUTES.add("GET", "/pilot.pyz", Permission.PUBLIC_READ, **_HERE, gives_media="application/zip")
async def bundle(files: Files, call: Call) -> HttpAnswer:
    """Fetch the pilot, one file. The header pilotage-signature has its signature (base64)."""
    # Send file and signature in one answer: two answers may come from two versions.
    found = await _found(files)
    headers: Headers = [
        (b"etag", f'"{found.sha256}"'.encode()),
        (b"pilotage-signature", base64.b64encode(found.signed.signature)),
        (b"pilotage-version", found.version.encode()),
    ]
    if f'"{found.sha256}"' in call.header(b"if-none-match"):
        return HttpAnswer(b"", status=304, headers=headers)
    return HttpAnswer(found.signed.content, media="application/zip", headers=headers)


@ROUTES.add("GET", "/pilot.pyz.sig", Permission.PUBLIC_READ, **_HERE, gives_media=BYTES)
async def signature(files: Files, call: Call) -> HttpAnswer:
    """Fetch the Ed25519 signature of pilot.pyz, 64 bytes."""
    return HttpAnswer((await _found(files)).signed.signature, media=BYTES)


@ROUTES.add(
    "GET", "/pilot.pem", Permission.PUBLIC_READ, **_HERE, gives_media="application/x-pem-file"
)
async def key(files: Files, call: Call) -> HttpAnswer:
    """Fetch the public key that verifies the signature of pilot.pyz."""
    return HttpAnswer((await _found(files)).signed.key_pem, media="application/x-pem-file")


@ROUTES.add("GET", "/pilot.json", Permission.PUBLIC_READ, needs_leader=False)
async def told(files: Files, call: Call) -> PilotFile:
    """Show version, size, hash, signature and key of pilot.pyz."""
    found = await _found(files)
    return PilotFile(
        version=found.version,
        size=len(found.signed.content),
        sha256=found.sha256,
        signature=base64.b64encode(found.signed.signature).decode(),
        key=found.signed.key.hex(),
    )


@ROUTES.add("GET", "/pilot.sh", Permission.PUBLIC_READ, **_HERE, gives_media="text/x-shellscript")
async def script(files: Files, call: Call) -> HttpAnswer:
    """Fetch the script that fetches, verifies and runs pilot.pyz on a node."""
    return HttpAnswer((await _found(files)).script, media="text/x-shellscript")


async def _found(files: Files) -> PilotFiles:
    found = await files()
    if found is None:
        raise Refused(Code.NOT_FOUND, "this central has no pilot.pyz: its operator must add one")
    return found
