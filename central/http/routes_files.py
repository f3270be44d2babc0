"""The routes of files that anybody may fetch: the pilot's file and the client's wheel."""

from typing import Final

from pilotage.proto import api

from ..identity.policy import Action
from . import client_file, pilot_file
from .route import Route

_A = Action
FILE_ROUTES: Final = (
    Route(
        method="GET",
        path="/pilot.pyz",
        action=_A.PUBLIC_READ,
        does="The pilot, one file; its signature in the header pilotage-signature (base64).",
        handler=pilot_file.bundle,
        gives=bytes,
        gives_media="application/zip",
    ),
    Route(
        method="GET",
        path="/pilot.pyz.sig",
        action=_A.PUBLIC_READ,
        does="Ed25519 signature of pilot.pyz, 64 bytes.",
        handler=pilot_file.signature,
        gives=bytes,
        gives_media="application/octet-stream",
    ),
    Route(
        method="GET",
        path="/pilot.pem",
        action=_A.PUBLIC_READ,
        does="Public key that verifies the signature of pilot.pyz.",
        handler=pilot_file.key,
        gives=bytes,
        gives_media="application/x-pem-file",
    ),
    Route(
        method="GET",
        path="/pilot.json",
        action=_A.PUBLIC_READ,
        does="Version, size, hash, signature and key of pilot.pyz.",
        handler=pilot_file.told,
        gives=api.PilotFile,
    ),
    Route(
        method="GET",
        path="/pilot.sh",
        action=_A.PUBLIC_READ,
        does="The script that fetches pilot.pyz on a node, verifies it and runs it.",
        handler=pilot_file.script,
        gives=bytes,
        gives_media="text/x-shellscript",
    ),
    Route(
        method="GET",
        path="/client",
        action=_A.PUBLIC_READ,
        does="A page with a link to the client's wheel, and its SHA-256.",
        handler=client_file.page,
        gives=bytes,
        gives_media="text/html",
    ),
    Route(
        method="GET",
        path="/client/{name}",
        action=_A.PUBLIC_READ,
        does="The wheel of this version, by its file name, for `pip install URL`.",
        handler=client_file.wheel,
        gives=bytes,
        gives_media="application/zip",
    ),
)
