"""Transformations, as the client has them: a part of `AsyncClient`."""

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
    """What people do with transformations. They are named by their id or name."""

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

        A mapping is as in a file, with `needs` as a list.
        """
        body = _body(document, start=start, derived_from=derived_from)
        return await self._transport.ask(
            TransformationDetail, "POST", "/v1/transformations", body=body
        )

    async def preview_transformation(self, document: Transformation | Mapping[str, Any]) -> Preview:
        """Say which files a transformation would take and how it would group them."""
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
        """Return everything of one transformation."""
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
        """Return a transformation once it is at its end, or goes on only when a person has looked.

        With `through_held` it is waited for even then. One with inputs ends only once somebody
        completes or stops it. Raises TimedOut; it goes on then.
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
        """Pause, resume, flush or otherwise steer a transformation; return what it is then.

        Replay, reset and refuse name `files`, as scope:name; reset also takes `all`. Replay is sent
        once: repeated when its files are Processed it would be one more. Without an answer look.
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
        """Ask for more tasks of one without inputs; one with inputs looks for these again.

        Repeated while there is no answer it asks for no more than once.
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
    """Return a request; of a mapping the central says what is wrong."""
    if isinstance(document, Transformation):
        return NewTransformation(document=document, **more)
    return {"document": document, **more}


def _path(named: str | int, more: str = "") -> str:
    return f"/v1/transformations/{quote(str(named), safe='')}{more}"
