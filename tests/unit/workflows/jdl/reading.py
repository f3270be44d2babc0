"""Reads descriptions for tests, as a user of the group `users` would."""

import pytest

from pilotage.central.workflows.jdl.errors import BadJdl
from pilotage.central.workflows.jdl.translation import JdlFile, read_jdl
from pilotage.proto.api.jdl import JdlContext
from pilotage.proto.documents.job import Job

CONTEXT = JdlContext(group="users", user="ada")


def read(text: str, context: JdlContext = CONTEXT) -> JdlFile:
    return read_jdl(text, "a.jdl", context)


def job(text: str, context: JdlContext = CONTEXT) -> Job:
    """Return the only job of a description; `Executable` may be missing in the text."""
    whole = text if "executable" in text.lower() else f'Executable = "run";\n{text}'
    (one,) = read(whole, context).jobs
    return one.job


def mistakes(text: str) -> list[str]:
    with pytest.raises(BadJdl) as bad:
        read(text)
    return bad.value.lines
