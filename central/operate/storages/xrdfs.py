"""The program xrdfs on the host of the central.

Each command gets its token in a file of its own, which only this user can read.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ...catalogue.remote.storage_http import StorageAway, StorageRefuses, said_safely
from ...factory.commands import CommandNotStarted, CommandOutcomeUnknown, CompletedCommand
from ...factory.spawned_commands import spawned

TIMEOUT_S: Final = 120.0  # for one command
_ANSWER_S: Final = "30"  # for a connection, and for each answer of a server
# Exit codes and numbers of errors of XRootD 5 (XrdCl/XrdClStatus.hh, XProtocol/XProtocol.hh).
_SERVER_REFUSES: Final = 54
_NOT_THERE: Final = "3011"


class RealXrdfs:
    """The port to XRootD servers of the type `root`."""

    async def run(
        self, server: str, words: Sequence[str], *, token: str, ca_file: str = ""
    ) -> str | None:
        """Return what a command prints; None: not there. Raises StorageAway, StorageRefuses."""
        program = shutil.which("xrdfs")
        if program is None:
            raise StorageRefuses("the host of the central has no xrdfs on its PATH")
        with tempfile.TemporaryDirectory(prefix="pilotage-xrdfs-") as folder:
            done = await _done(
                [program, server, *words], _environment(Path(folder), token, ca_file)
            )
        if done.code == 0:
            return done.text
        if _NOT_THERE in re.findall(r"\[(3\d{3})\]", done.complaint):
            return None
        why = said_safely(done.complaint, token)
        raise (StorageRefuses if done.code == _SERVER_REFUSES else StorageAway)(why)


async def _done(argv: list[str], environment: dict[str, str]) -> CompletedCommand:
    async with spawned() as commands:
        try:
            return await commands.run(argv, environment=environment, timeout_s=TIMEOUT_S)
        except (CommandNotStarted, CommandOutcomeUnknown) as why:
            trouble = StorageAway(str(why))
    raise trouble


def _environment(folder: Path, token: str, ca_file: str) -> dict[str, str]:
    trusted = {"X509_CERT_FILE": ca_file} if ca_file else {}
    if not ca_file and "X509_CERT_DIR" in os.environ:
        trusted = {"X509_CERT_DIR": os.environ["X509_CERT_DIR"]}
    if token:
        file = folder / "token"
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(token)
        trusted |= {"BEARER_TOKEN_FILE": str(file), "XrdSecPROTOCOL": "ztn"}
    return {
        **trusted,
        "XRD_CONNECTIONRETRY": "1",
        "XRD_CONNECTIONWINDOW": _ANSWER_S,
        "XRD_REQUESTTIMEOUT": _ANSWER_S,
        "XRD_STREAMTIMEOUT": _ANSWER_S,
    }
