"""Runs a loaded document on pilots: sends it, waits, and fetches the outputs."""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cwl_utils.errors import WorkflowException
from cwltool.context import RuntimeContext
from cwltool.executors import JobExecutor
from cwltool.process import Process

from pilotage.pilot.cwl import tool_job
from pilotage.proto.api.productions import CwlOutputs, NewProduction, Written
from pilotage.proto.documents.cwl import CwlDocument, CwlFile
from pilotage.proto.documents.job import Input

from ...client.client import AsyncClient
from ...client.downloads.cwl_outputs import fetched
from ...client.errors import ClientError
from ...client.files import LocalFile
from ...cwl.sending import Described, described
from ...cwl.transformations import Built

TOOL: Final = Path(tool_job.__file__)
Opened = Callable[[], AsyncClient]


async def document_of(client: AsyncClient, found: Described) -> CwlDocument:
    """Upload the files of a document, and return it as a request takes it."""
    places = list(found.files)
    (tool, *inputs) = await client.upload(
        [LocalFile(TOOL), *(LocalFile(Path(found.files[one])) for one in places)]
    )
    files = {
        place: CwlFile(
            sha256=one.sha256,
            size_bytes=one.size_bytes,
            executable=os.access(found.files[place], os.X_OK),
        )
        for place, one in zip(places, inputs, strict=True)
    }
    files |= {place: CwlFile(kind="folder") for place in found.folders}
    files |= {place: CwlFile(did=did) for place, did in found.dids.items()}
    return CwlDocument(
        main=found.main, texts=found.texts, inputs=found.inputs, files=files, tool=tool
    )


async def with_files(client: AsyncClient, made: Built, *, file: str, text: str) -> NewProduction:
    """Upload the files of a production with transformations, and return the request."""
    names = list(made.files)
    sent = await client.upload([LocalFile(Path(made.files[one]) if made.files[one] else TOOL)
                                for one in names])  # fmt: skip
    files = {
        name: Input(name=name, sha256=one.sha256, size_bytes=one.size_bytes)
        for name, one in zip(names, sent, strict=True)
    }
    written = Written(file=file, form="cwl", text=text)
    return NewProduction(workflow=made.workflow, files=files, written=written)


class PilotExecutor(JobExecutor):
    """Runs documents as productions, and waits for each."""

    def __init__(
        self, opened: Opened, texts: dict[str, str], folder: Path, name: str, *, reuse: bool = True
    ) -> None:
        super().__init__()
        self._reuse = reuse
        self._opened, self._texts, self._folder, self._name = opened, texts, folder, name

    def run_jobs(
        self,
        process: Process,
        job_order_object: Any,
        logger: logging.Logger,
        runtime_context: RuntimeContext,
    ) -> None:
        found = described(process, job_order_object, runtime_context, self._texts)
        for one in found.warnings:
            logger.warning("%s", one)
        try:
            end, outputs = asyncio.run(self._run(found))
        except ClientError as why:
            raise WorkflowException(str(why)) from why
        if end.why:
            logger.error("%s", end.why)
        if not end.status:
            raise WorkflowException("the production was ended before its run")
        self.output_callback(outputs, end.status)

    async def _run(self, found: Described) -> tuple[CwlOutputs, Any]:
        async with self._opened() as client:
            document = await document_of(client, found)
            made = await client.add_production(
                NewProduction(cwl=document, name=self._name, reuse=self._reuse)
            )
            end = await client.wait_for_outputs(made.view.id)
            return end, await fetched(client, end.outputs, self._folder, flat=False)


def request_of(document: CwlDocument, *, file: str, text: str) -> NewProduction:
    """Return the request for a production; `text` is that of the file."""
    return NewProduction(cwl=document, written=Written(file=file, form="cwl", text=text))
