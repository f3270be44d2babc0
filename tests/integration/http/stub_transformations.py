"""Stands for the service of transformations: it notes what it is asked."""

from pilotage.central.identity.callers import User
from pilotage.central.transformations.service import TransformationService
from pilotage.proto.api.transformations import (
    InputPage,
    NewTransformation,
    TaskPage,
    TransformationAction,
    TransformationDetail,
    TransformationPage,
    TransformationView,
)
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from .stub_calls import Hearing, override


class StubTransformations(Hearing, TransformationService):
    """Answers with one transformation."""

    @override
    async def add(self, caller: User, body: NewTransformation, /) -> TransformationDetail:
        self.hear("add_transformation", caller, body)
        return _detail()

    @override
    async def list(
        self, caller: User, /, *, states: tuple[TransformationState, ...], after: int, limit: int
    ) -> TransformationPage:
        self.hear("transformations", caller, (states, after, limit))
        return TransformationPage(transformations=[_view()], after=None)

    @override
    async def show(self, caller: User, named: str, /) -> TransformationDetail:
        self.hear("transformation", caller, named)
        return _detail()

    @override
    async def files(
        self, caller: User, named: str, /, *, states: tuple[InputState, ...], after: str, limit: int
    ) -> InputPage:
        self.hear("transformation_files", caller, (named, states, after, limit))
        return InputPage(files=[], after=None)

    @override
    async def tasks(
        self, caller: User, named: str, /, *, states: tuple[TaskState, ...], after: int, limit: int
    ) -> TaskPage:
        self.hear("transformation_tasks", caller, (named, states, after, limit))
        return TaskPage(tasks=[], after=None)

    @override
    async def act(
        self, caller: User, named: str, action: TransformationAction, /
    ) -> TransformationDetail:
        self.hear("transformation_action", caller, (named, action))
        return _detail()


def _detail() -> TransformationDetail:
    return TransformationDetail(view=_view(), document={})


def _view() -> TransformationView:
    return TransformationView(
        id=7,
        name="dl1",
        title="",
        state=TransformationState.ACTIVE,
        reason="",
        community="ctao",
        group="dpps",
        owner="ada",
        inputs={},
        tasks={},
        tasks_made=0,
        tasks_wanted=2,
        outputs="dpps:transformation-7",
        marks=(),
        derived_from=None,
        made_at="",
        changed_at="",
    )
