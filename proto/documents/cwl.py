"""A CWL document as a client sends it: with all texts that it names, and its inputs.

Places are URIs below `file:///pilotage-cwl/`: the client replaces those of its own machine.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ..decoding.patterns import whole
from .job import Count, Input

PLACE: Final = "file:///pilotage-cwl/"
TEXTS_MAX: Final = 4_000_000  # characters of all texts
FILES_MAX: Final = 10_000

Place = Annotated[str, Meta(pattern=whole("(file:///pilotage-cwl/|https?://).*"), max_length=4096)]
# of a run, below the folder of its documents or of its inputs
FilePath = Annotated[str, Meta(pattern=whole("/pilotage-cwl/.*"), max_length=4096)]


class _Part(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    pass


class CwlFile(_Part, frozen=True, kw_only=True):
    """A file or folder of the inputs: uploaded as a blob, or in the catalogue."""

    kind: Literal["file", "folder"] = "file"
    sha256: Annotated[str, Meta(pattern=whole("([0-9a-f]{64})?"))] = ""
    size_bytes: Count = 0
    executable: bool = False
    did: Annotated[str, Meta(max_length=600)] = ""  # SCOPE:NAME of a file of the catalogue


class CwlDocument(_Part, frozen=True, kw_only=True):
    """A document, its inputs, and what runs its tools on nodes."""

    main: Place  # the process to run, with the part behind `#`
    texts: Annotated[dict[Place, str], Meta(min_length=1, max_length=1_000)]
    inputs: dict[str, Any] = {}  # values by the name of the input; files have places
    files: Annotated[dict[FilePath, CwlFile], Meta(max_length=FILES_MAX)] = {}
    tool: Input  # `pilot/cwl/tool_job.py`, uploaded as a blob
    group: Annotated[str, Meta(max_length=64)] = ""  # of the jobs; empty: your default group

    def __post_init__(self) -> None:
        size = sum(map(len, self.texts.values()))
        if size > TEXTS_MAX:
            raise ValueError(f"texts: found {size} characters, at most {TEXTS_MAX}")
        for path, one in self.files.items():
            if one.kind == "file" and not (one.sha256 or one.did):
                raise ValueError(f"files: {path[:200]!r} has neither `sha256` nor `did`")
