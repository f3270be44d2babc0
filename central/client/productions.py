"""The methods of `AsyncClient` for productions."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.productions import (
    CwlOutputs,
    NewProduction,
    ProductionAction,
    ProductionActionName,
    ProductionDetail,
    ProductionPage,
    ProductionPreview,
    ProductionReport,
    ProductionView,
)
from pilotage.proto.documents.job import Input
from pilotage.proto.production_states import ProductionState

from .arguments import word_of
from .downloads.cwl_outputs import fetched
from .errors import Invalid
from .files import LocalFile, hash_file
from .images import digests_of
from .pace import Pace
from .transport import Transport
from .waiting.production_ends import production_ended, run_ended
from .workflow_sources import SubmittableWorkflow

if TYPE_CHECKING:
    from .client import AsyncClient


class ProductionCalls:
    """The methods of the client for productions. `named` is an id or a name."""

    _transport: Transport
    _pace: Pace

    async def submit_production(
        self,
        flow: SubmittableWorkflow,
        *,
        name: str = "",
        title: str = "",
        priority: int | None = None,
        start: bool = True,
        reuse: bool = True,
        correct: bool = False,
    ) -> ProductionDetail:
        """Run a workflow on pilots. The same workflow with the same name is the same production.

        The method first uploads the files that the steps name. `name` replaces the name of the
        workflow. Without `reuse` all tasks run, even those with known results. `correct` replaces
        the definition of the production of this name: steps that differ run again.
        """
        body = _named(_document(flow), name, title, priority, start)
        body = msgspec.structs.replace(body, reuse=reuse, correct=correct)
        client, paths = cast("AsyncClient", self), _paths(body)
        inputs = await client.upload([LocalFile(flow.folder / path) for path in paths])
        files = dict(zip(paths, inputs, strict=True))
        images = await asyncio.to_thread(digests_of, _images(body))
        return await self.add_production(msgspec.structs.replace(body, files=files, images=images))

    async def preview_production(
        self,
        flow: SubmittableWorkflow,
        *,
        name: str = "",
        title: str = "",
        priority: int | None = None,
        correct: bool = False,
    ) -> ProductionPreview:
        """Return the numbers of tasks and files of a workflow, with the files of the catalogue.

        With `correct` it may replace the definition of the production of this name.
        """
        body = _named(_document(flow), name, title, priority, start=False)
        body = msgspec.structs.replace(body, correct=correct)
        files = {path: await asyncio.to_thread(_hashed, flow, path) for path in _paths(body)}
        images = await asyncio.to_thread(digests_of, _images(body))
        return await self._transport.ask(
            ProductionPreview,
            "POST",
            "/v1/productions",
            body=msgspec.structs.replace(body, files=files, images=images, dry_run=True),
        )

    async def add_production(self, production: NewProduction) -> ProductionDetail:
        """Add a production. Its files must have been uploaded."""
        return await self._transport.ask(
            ProductionDetail, "POST", "/v1/productions", body=production
        )

    async def rerun_production(
        self, named: str | int, name: str, *, start: bool = True
    ) -> ProductionDetail:
        """Run the definition of a production again under another name, with all files."""
        return await self.add_production(NewProduction(rerun_of=str(named), name=name, start=start))

    async def productions(
        self, *, states: Iterable[ProductionState] = ()
    ) -> AsyncIterator[ProductionView]:
        """Yield productions in order of their id."""
        query = [("state", word_of(ProductionState, state, "states").value) for state in states]
        query.append(("limit", str(PAGE_MAX)))
        after: int | None = 0
        while after is not None:
            page = await self._transport.ask(
                ProductionPage, "GET", "/v1/productions", query=[*query, ("after", str(after))]
            )
            for view in page.productions:
                yield view
            after = page.after

    async def production(self, named: str | int) -> ProductionDetail:
        """Return everything about one production."""
        return await self._transport.ask(ProductionDetail, "GET", _path(named))

    async def production_outputs(self, named: str | int) -> CwlOutputs:
        """Return the outputs of a production that runs a CWL document, and how it ended.

        While it runs, `status` is empty.
        """
        return await self._transport.ask(CwlOutputs, "GET", _path(named, "/outputs"))

    async def wait_for_outputs(
        self, named: str | int, *, timeout_s: float | None = None
    ) -> CwlOutputs:
        """Wait until the run of a CWL document has ended, and return its outputs.

        If its production ended before, `status` is empty. Raises TimedOut; the run continues.
        """
        return await run_ended(self, named, timeout_s, self._pace)

    async def download_production(self, named: str | int, to: Path | str = ".") -> dict[str, Any]:
        """Fetch the output files of a CWL document into a folder; return the outputs with paths.

        Files of the catalogue stay there. Raises FileThere for a file with other bytes.
        """
        end = await self.production_outputs(named)
        found: dict[str, Any] = await fetched(cast("AsyncClient", self), end.outputs, Path(to))
        return found

    async def production_report(self, named: str | int) -> ProductionReport:
        """Return the report on a production: failures by step, and stuck files."""
        return await self._transport.ask(ProductionReport, "GET", _path(named, "/report"))

    async def wait_for_production(
        self, named: str | int, *, timeout_s: float | None = None, through_held: bool = False
    ) -> ProductionView:
        """Wait until a production has ended or is stuck, and return it.

        With `through_held` the method waits until it has ended. A production that takes files by a
        query ends only after a person completes it. Raises TimedOut; the production continues.
        """
        return await production_ended(self, named, timeout_s, self._pace, through_held=through_held)

    async def act_on_production(
        self,
        named: str | int,
        action: ProductionActionName | str,
        *,
        step: str | None = None,
        problematic: bool = False,
        anyway: bool = False,
        priority: int | None = None,
        reason: str = "",
    ) -> ProductionDetail:
        """Start, pause, resume, fix or otherwise steer a production; return its new state.

        `step` is for fix and complete, `problematic` for fix, `priority` for priority. Without
        `anyway`, fix is refused if a step that takes all files would run on only some. Complete is
        refused for a step if earlier steps may still make files for it.
        """
        word = word_of(ProductionActionName, action, "action")
        is_priority = word is ProductionActionName.PRIORITY
        body = ProductionAction(
            action=word,
            step=step,
            problematic=problematic,
            anyway=anyway,
            priority=UNSET if priority is None and not is_priority else priority,
            reason=reason,
        )
        return await self._transport.ask(
            ProductionDetail, "POST", _path(named, "/actions"), body=body
        )

    async def extend_production(
        self,
        named: str | int,
        step: str | None = None,
        more: int = 0,
        *,
        anyway: bool = False,
        reason: str = "",
    ) -> ProductionDetail:
        """Add tasks to a step, or let a step that takes files look for files again.

        Without `anyway` it is refused if a later step that took all files would run on only the
        new ones. Retries of the call add the tasks once.
        """
        was = 0
        if more:
            steps = (await self.production(named)).view.steps
            was = next((one.tasks_wanted for one in steps if one.step == step), 0)
        body = ProductionAction(
            action=ProductionActionName.EXTEND,
            step=step,
            tasks=was + more if more else 0,
            was=was,
            anyway=anyway,
            reason=reason,
        )
        return await self._transport.ask(
            ProductionDetail, "POST", _path(named, "/actions"), body=body
        )


def _document(flow: SubmittableWorkflow) -> NewProduction:
    """Return the request for a workflow. Raises Invalid if it is not one, such as a file name."""
    found: object = flow
    if not hasattr(found, "production"):
        shown = found if isinstance(found, str) else type(found).__name__
        why = (
            f"flow: found {shown!r}, expected a production.Workflow; a file: `pilotage prod submit`"
        )
        raise Invalid("invalid", why, "flow")
    return flow.production()


def _named(
    body: NewProduction, name: str, title: str, priority: int | None, start: bool
) -> NewProduction:
    return msgspec.structs.replace(
        body,
        name=name or body.name,
        title=title or body.title,
        priority=body.priority if priority is None else priority,
        start=start,
    )


def _hashed(flow: SubmittableWorkflow, path: str) -> Input:
    return hash_file(LocalFile(flow.folder / path)).input


def _images(body: NewProduction) -> list[str]:
    """Return the images of the jobs of a workflow."""
    steps = body.workflow.steps.values() if body.workflow is not None else ()
    return [step.job.image for step in steps if step.job.image]


def _paths(body: NewProduction) -> list[str]:
    """Return the files that the steps name, each once."""
    steps = body.workflow.steps.values() if body.workflow is not None else ()
    return list(dict.fromkeys(path for step in steps for path in step.files))


def _path(named: str | int, more: str = "") -> str:
    return f"/v1/productions/{quote(str(named), safe='')}{more}"
