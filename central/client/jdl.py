"""The methods of `AsyncClient` for descriptions in JDL."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from pilotage.proto.api.jdl import JdlContext
from pilotage.proto.documents.job import Job

from .handles import AsyncSubmissionHandle
from .submissions.submission_bodies import OnProgress
from .transport import Transport

if TYPE_CHECKING:
    from .client import AsyncClient
    from .documents.job_files import Draft


class JdlCalls:
    """The methods of the client for descriptions in JDL."""

    _transport: Transport

    async def jdl_context(self) -> JdlContext:
        """Return what the central says about JDL: platforms, factors, your scope and folder."""
        return await self._transport.ask(JdlContext, "GET", "/v1/jdl")

    async def submit_jdl(
        self,
        source: Path | str,
        *,
        folder: Path | str = ".",
        key: str | None = None,
        group: str = "",
        running_max: int = 0,
        progress: OnProgress | None = None,
    ) -> AsyncSubmissionHandle:
        """Submit the jobs of a description in JDL, all or none.

        `source` is a file, or the text itself: a str with `=`. Files of InputSandbox are looked up
        in `folder`. The other arguments are those of `submit`. Raises BadDescription with all
        mistakes; nothing is stored then.
        """
        from .documents.jdl_files import drafts_of, text_of  # it loads the reader of YAML

        context = await self.jdl_context()
        if group:
            context = msgspec.structs.replace(context, group=group)
        is_text = isinstance(source, str) and "=" in source
        text = str(source) if is_text else await asyncio.to_thread(text_of, Path(source))
        where = "JDL" if is_text else str(source)
        read, drafts = await asyncio.to_thread(drafts_of, text, where, context, Path(folder))
        client = cast("AsyncClient", self)
        jobs = await complete_all(client, drafts)
        return await client.submit(
            jobs,
            key=key,
            name=read.label,
            group=group,
            running_max=running_max,
            progress=progress,
        )


async def complete_all(client: "AsyncClient", drafts: "Sequence[Draft]") -> list[Job]:
    """Upload the files of jobs. A file that several jobs need is hashed once."""
    local = list(dict.fromkeys(file for draft in drafts for file in draft.files))
    uploaded = dict(zip(local, await client.upload(local), strict=True)) if local else {}
    return [draft.with_inputs([uploaded[file] for file in draft.files]) for draft in drafts]
