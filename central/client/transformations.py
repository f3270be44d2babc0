"""The methods of `AsyncClient` for transformations."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.transformations import (
    InputPage,
    InputView,
    NewTransformation,
    Preview,
    TaskPage,
    TaskView,
    TransformationAction,
    TransformationActionName,
    TransformationDetail,
    TransformationPage,
    TransformationView,
)
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from .arguments import names_of, word_of
from .pace import Pace
from .transport import Transport
from .waiting.production_ends import transformation_ended


class TransformationCalls:
    """The methods of the client for transformations. `named` is an id or a name."""

    _transport: Transport
    _pace: Pace

    async def add_transformation(
        self,
        document: Transformation | Mapping[str, Any],
        *,
        start: bool = True,
        derived_from: int = 0,
    ) -> TransformationDetail:
        """Add a transformation. The same document again gives the same transformation.

        A mapping has the form of a file, with `needs` as a list.
        """
        body = _body(document, start=start, derived_from=derived_from)
        return await self._transport.ask(
            TransformationDetail, "POST", "/v1/transformations", body=body
        )

    async def preview_transformation(self, document: Transformation | Mapping[str, Any]) -> Preview:
        """Return the files that a transformation would take, and their groups."""
        body = _body(document, dry_run=True)
        return await self._transport.ask(Preview, "POST", "/v1/transformations", body=body)

    async def transformations(
        self, *, states: Iterable[TransformationState] = ()
    ) -> AsyncIterator[TransformationView]:
        """Yield transformations in order of their id."""
        query = [("state", word_of(TransformationState, state, "states").value) for state in states]
        query.append(("limit", str(PAGE_MAX)))
        after: int | None = 0
        while after is not None:
            page = await self._transport.ask(
                TransformationPage,
                "GET",
                "/v1/transformations",
                query=[*query, ("after", str(after))],
            )
            for view in page.transformations:
                yield view
            after = page.after

    async def transformation(self, named: str | int) -> TransformationDetail:
        """Return everything about one transformation."""
        return await self._transport.ask(TransformationDetail, "GET", _path(named))

    async def transformation_files(
        self, named: str | int, *, states: Iterable[InputState] = ()
    ) -> AsyncIterator[InputView]:
        """Yield the input files of a transformation in order of their registration."""
        query = [("state", word_of(InputState, state, "states").value) for state in states]
        query.append(("limit", str(PAGE_MAX)))
        after: str | None = ""
        while after is not None:
            page = await self._transport.ask(
                InputPage,
                "GET",
                _path(named, "/files"),
                query=[*query, ("after", after)] if after else query,
            )
            for view in page.files:
                yield view
            after = page.after

    async def transformation_tasks(
        self, named: str | int, *, states: Iterable[TaskState] = ()
    ) -> AsyncIterator[TaskView]:
        """Yield the tasks of a transformation in order of their number."""
        query = [("state", word_of(TaskState, state, "states").value) for state in states]
        query.append(("limit", str(PAGE_MAX)))
        after: int | None = 0
        while after is not None:
            page = await self._transport.ask(
                TaskPage, "GET", _path(named, "/tasks"), query=[*query, ("after", str(after))]
            )
            for view in page.tasks:
                yield view
            after = page.after

    async def wait_for_transformation(
        self, named: str | int, *, timeout_s: float | None = None, through_held: bool = False
    ) -> TransformationView:
        """Wait until a transformation has ended or is stuck, and return it.

        With `through_held` the method waits until it has ended. A transformation with inputs ends
        only after a person completes or stops it. Raises TimedOut; the transformation continues.
        """
        return await transformation_ended(
            self, named, timeout_s, self._pace, through_held=through_held
        )

    async def act_on_transformation(
        self,
        named: str | int,
        action: TransformationActionName | str,
        *,
        reason: str = "",
        files: Iterable[str] = (),
        all: bool = False,
    ) -> TransformationDetail:
        """Pause, resume, flush or otherwise steer a transformation; return its new state.

        Replay, reset and refuse need `files`, as scope:name; reset also takes `all`. Replay is not
        retried, because it would process the files again: without an answer, check the files.
        """
        body = TransformationAction(
            action=word_of(TransformationActionName, action, "action"),
            reason=reason,
            files=tuple(names_of(files)),
            all=all,
        )
        again = body.action is not TransformationActionName.REPLAY
        return await self._transport.ask(
            TransformationDetail, "POST", _path(named, "/actions"), body=body, again=again
        )

    async def extend_transformation(
        self, named: str | int, more: int = 0, *, reason: str = ""
    ) -> TransformationDetail:
        """Add tasks; a transformation with inputs looks for inputs again instead.

        Retries of the call add the tasks once.
        """
        was = (await self.transformation(named)).view.tasks_wanted
        body = TransformationAction(
            action=TransformationActionName.EXTEND,
            reason=reason,
            tasks=was + more if more else 0,
            was=was if more else 0,
        )
        return await self._transport.ask(
            TransformationDetail, "POST", _path(named, "/actions"), body=body
        )


def _body(document: Transformation | Mapping[str, Any], **more: Any) -> object:
    """Return the request. The central checks mappings."""
    if isinstance(document, Transformation):
        return NewTransformation(document=document, **more)
    return {"document": document, **more}


def _path(named: str | int, more: str = "") -> str:
    return f"/v1/transformations/{quote(str(named), safe='')}{more}"
