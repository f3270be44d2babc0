"""What expressions may read: files of the document, and outputs of the run."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from pilotage.central.cwl_runs.jobs import Unusable
from pilotage.central.cwl_runs.results import JobResults
from pilotage.central.errors import BlobNotFound
from pilotage.proto.documents.cwl import CwlDocument, CwlFile
from pilotage.proto.documents.job import Input

PLACE = "/pilotage-cwl/given/0/x"
MAIN = "file:///pilotage-cwl/doc/main.cwl"


class NoBlobs:
    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        for part in list[bytes]():
            yield part
        raise BlobNotFound(sha256)


async def test_a_file_that_the_central_no_longer_has_is_named() -> None:
    document = CwlDocument(
        main=MAIN,
        texts={MAIN: "x"},
        files={PLACE: CwlFile(sha256="a" * 64)},
        tool=Input(name="tool_job.py", sha256="b" * 64, size_bytes=1),
    )
    results = JobResults(cast(Any, None), cast(Any, NoBlobs()))

    with pytest.raises(Unusable, match=f"cannot read {PLACE}: there is no blob aaa"):
        await results.content(PLACE, document, None)
