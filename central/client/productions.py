"""Productions, as the client has them: a part of `AsyncClient`."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.productions import (
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
from .errors import Invalid
from .files import LocalFile, hash_file
from .images import digests_of
from .pace import Pace
from .transport import Transport
from .waiting.production_ends import production_ended
from .workflow_sources import SubmittableWorkflow

if TYPE_CHECKING:
    from .client import AsyncClient


class ProductionCalls:
    """What people do with productions. They are named by their id or name."""

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
    ) -> ProductionDetail:
        """Run a workflow on pilots. The same again under its name is the same production.

        Files that its steps name are uploaded before; `name` stands in place of the workflow's.
        """
        body = _named(_document(flow), name, title, priority, start)
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
    ) -> ProductionPreview:
        """Say how many tasks and files a workflow would be, with the files of the catalogue."""
        body = _named(_document(flow), name, title, priority, start=False)
        files = {path: await asyncio.to_thread(_hashed, flow, path) for path in _paths(body)}
        images = await asyncio.to_thread(digests_of, _images(body))
        return await self._transport.ask(
            ProductionPreview,
            "POST",
            "/v1/productions",
            body=msgspec.structs.replace(body, files=files, images=images, dry_run=True),
        )

    async def add_production(self, production: NewProduction) -> ProductionDetail:
        """Add a production, of which all files have been uploaded."""
        return await self._transport.ask(
            ProductionDetail, "POST", "/v1/productions", body=production
        )

    async def rerun_production(
        self, named: str | int, name: str, *, start: bool = True
    ) -> ProductionDetail:
        """Run the definition of a production anew under another name, with all of its files."""
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
        """Return everything of one production."""
        return await self._transport.ask(ProductionDetail, "GET", _path(named))

    async def production_report(self, named: str | int) -> ProductionReport:
        """Return how a production went: what failed in which step, what waits for whom."""
        return await self._transport.ask(ProductionReport, "GET", _path(named, "/report"))

    async def wait_for_production(
        self, named: str | int, *, timeout_s: float | None = None, through_held: bool = False
    ) -> ProductionView:
        """Return a production once it is at its end, or goes on only when a person has looked.

        With `through_held` it is waited for even then. One that takes files of the catalogue by a
        query ends only once somebody completes it. Raises TimedOut; it goes on then.
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
        """Start, pause, resume, fix or otherwise steer a production; return what it is then.

        `step` is for fix and complete, `problematic` for fix, `priority` for priority. Refused,
        unless `anyway`, where a fix would let a step that takes all files run of some alone,
        and where complete names a step while steps that feed it may still make files.
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
        """Ask a step for more tasks; one that takes files looks for these again.

        Refused, unless `anyway`, where a step below has run of all files and would run again of
        the new ones alone. Repeated while there is no answer it asks for no more than once.
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
    """Return what a flow submits. Raises Invalid for what is none, such as the name of a file."""
    found: object = flow
    if not hasattr(found, "production"):
        told = found if isinstance(found, str) else type(found).__name__
        why = (
            f"flow: found {told!r}, expected a production.Workflow; a file: `pilotage prod submit`"
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
    """Return the images that jobs of a workflow name."""
    steps = body.workflow.steps.values() if body.workflow is not None else ()
    return [step.job.image for step in steps if step.job.image]


def _paths(body: NewProduction) -> list[str]:
    """Return the files that steps name, each once."""
    steps = body.workflow.steps.values() if body.workflow is not None else ()
    return list(dict.fromkeys(path for step in steps for path in step.files))


def _path(named: str | int, more: str = "") -> str:
    return f"/v1/productions/{quote(str(named), safe='')}{more}"
