"""Routes of transformations."""

from typing import Annotated

import msgspec
from litestar.types import ASGIApp
from msgspec import Meta

from pilotage.proto import api
from pilotage.proto.api_transformations import NewTransformation, TransformationAction
from pilotage.proto.ids import ID_MAX
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from .answers import encoded
from .call import Call

Id = Annotated[int, Meta(ge=0, le=ID_MAX)]
Limit = Annotated[int, Meta(ge=1, le=api.PAGE_MAX)]


class TransformationsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which transformations, and which page of them."""

    state: tuple[TransformationState, ...] = ()
    after: Id = 0
    limit: Limit = 100


class InputsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which files of a transformation, and which page of them."""

    state: tuple[InputState, ...] = ()
    after: str = ""
    limit: Limit = 100


class TasksQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tasks of a transformation, and which page of them."""

    state: tuple[TaskState, ...] = ()
    after: Id = 0
    limit: Limit = 100


async def add(call: Call) -> ASGIApp:
    body = await call.read(NewTransformation)
    return encoded(await call.services.transformations.add(call.user(), body))


async def several(call: Call) -> ASGIApp:
    asked = call.query(TransformationsQuery)
    return encoded(
        await call.services.transformations.list(
            call.user(), states=asked.state, after=asked.after, limit=asked.limit
        )
    )


async def show(call: Call) -> ASGIApp:
    return encoded(await call.services.transformations.show(call.user(), _named(call)))


async def files(call: Call) -> ASGIApp:
    asked = call.query(InputsQuery)
    return encoded(
        await call.services.transformations.files(
            call.user(), _named(call), states=asked.state, after=asked.after, limit=asked.limit
        )
    )


async def tasks(call: Call) -> ASGIApp:
    asked = call.query(TasksQuery)
    return encoded(
        await call.services.transformations.tasks(
            call.user(), _named(call), states=asked.state, after=asked.after, limit=asked.limit
        )
    )


async def act(call: Call) -> ASGIApp:
    action = await call.read(TransformationAction)
    return encoded(await call.services.transformations.act(call.user(), _named(call), action))


def _named(call: Call) -> str:
    return call.path("transformation")
