"""`pilotage completion`."""

import sys
from typing import Annotated, Literal

from cyclopts import Parameter


def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"], Parameter(help="Shell that the script is for.")
    ],
    /,
) -> None:
    """Print the script that completes commands and options when you press Tab.

    Print it again after an upgrade.
    """
    from .main import build

    sys.stdout.write(build().generate_completion(prog_name="pilotage", shell=shell))
