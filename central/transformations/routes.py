"""Routes for transformations."""

from typing import Final

import msgspec

from pilotage.proto.api.data import PageLimit
from pilotage.proto.api.jobs import Id
from pilotage.proto.api.transformations import (
    InputPage,
    NewTransformation,
    Preview,
    TaskPage,
    TransformationAction,
    TransformationDetail,
    TransformationPage,
)
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from ..http.call import Call
from ..http.route import Routes
from ..identity.calls import user
from ..identity.policy import Permission
from .service import TransformationService

ROUTES: Final = Routes[TransformationService]()
PATH: Final = "/v1/transformations"
ONE: Final = f"{PATH}/{{transformation}}"


class TransformationsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The filter for transformations, and the page."""

    state: tuple[TransformationState, ...] = ()
    after: Id = 0
    limit: PageLimit = 100


class InputsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The filter for files of a transformation, and the page."""

    state: tuple[InputState, ...] = ()
    after: str = ""
    limit: PageLimit = 100


class TasksQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The filter for tasks of a transformation, and the page."""

    state: tuple[TaskState, ...] = ()
    after: Id = 0
    limit: PageLimit = 100


@ROUTES.add(
    "POST", PATH, Permission.TRANSFORMATION_CONTROL, gives=TransformationDetail, creates=True
)
async def add(
    service: TransformationService, call: Call, body: NewTransformation
) -> TransformationDetail | Preview:
    """Add a transformation, once for each name, or show what it would do."""
    return await service.add(user(call), body)


@ROUTES.add("GET", PATH, Permission.TRANSFORMATION_READ)
async def several(
    service: TransformationService, call: Call, query: TransformationsQuery
) -> TransformationPage:
    """List transformations with their progress, in order of id."""
    return await service.list(user(call), states=query.state, after=query.after, limit=query.limit)


@ROUTES.add("GET", ONE, Permission.TRANSFORMATION_READ)
async def show(service: TransformationService, call: Call) -> TransformationDetail:
    """Show everything about one transformation, by id or name."""
    return await service.show(user(call), _named(call))


@ROUTES.add("GET", f"{ONE}/files", Permission.TRANSFORMATION_READ)
async def files(service: TransformationService, call: Call, query: InputsQuery) -> InputPage:
    """List its input files with their states."""
    return await service.files(
        user(call), _named(call), states=query.state, after=query.after, limit=query.limit
    )


@ROUTES.add("GET", f"{ONE}/tasks", Permission.TRANSFORMATION_READ)
async def tasks(service: TransformationService, call: Call, query: TasksQuery) -> TaskPage:
    """List its tasks and their jobs, in order of number."""
    return await service.tasks(
        user(call), _named(call), states=query.state, after=query.after, limit=query.limit
    )


@ROUTES.add("POST", f"{ONE}/actions", Permission.TRANSFORMATION_CONTROL)
async def act(
    service: TransformationService, call: Call, body: TransformationAction
) -> TransformationDetail:
    """Pause, resume, extend, flush or otherwise steer a transformation."""
    return await service.act(user(call), _named(call), body)


def _named(call: Call) -> str:
    return call.path("transformation")
