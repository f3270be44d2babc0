"""A name that somebody else has: whoever may not read theirs is told that it is taken, no more."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.callers import User
from pilotage.proto.api.productions import (
    NewProduction,
    ProductionAction,
    ProductionActionName as P,
)
from pilotage.proto.api.transformations import (
    NewTransformation,
    TransformationAction,
    TransformationActionName as T,
)
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.transformation import Transformation
from tests.memory_store import MemoryStore
from tests.unit.transformations.served import service
from tests.unit.workflows.written_here import workflow

from .served import CALLER, Served

EVE = msgspec.structs.replace(CALLER, subject="eve")
MAX = msgspec.structs.replace(CALLER, subject="max", role=Role.MANAGER)  # of their group
FLOW = "workflow: mc\nsteps:\n  make: {tasks: TASKS, job: {command: [make]}}\n"
DO_T, DO_P = TransformationAction, ProductionAction


class Town:
    """What ada has; what another one does with the same names."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.productions = Served(self.store).service
        self._folder = folder

    async def transformation(
        self, who: User, name: str, *, tasks: int = 1, dry_run: bool = False
    ) -> None:
        doc = Transformation(name=name, job=Job(command=("secret",)), tasks=tasks)
        await (await service(self.store, who)).add(
            who, NewTransformation(document=doc, dry_run=dry_run)
        )

    async def production(self, who: User, *, tasks: int = 4, dry_run: bool = False) -> None:
        flow = workflow(self._folder, FLOW.replace("TASKS", str(tasks)))
        await self.productions.add(who, NewProduction(workflow=flow, dry_run=dry_run))


Story = Callable[[Town, User], Awaitable[None]]


async def a_transformation(town: Town, who: User) -> None:
    await town.transformation(CALLER, "mc")
    await town.transformation(who, "mc", tasks=2)


async def a_preview(town: Town, who: User) -> None:
    await town.transformation(CALLER, "mc")
    await town.transformation(who, "mc", tasks=2, dry_run=True)


async def a_production(town: Town, who: User) -> None:
    await town.production(CALLER)
    await town.production(who, tasks=5)


async def a_preview_of_a_production(town: Town, who: User) -> None:
    await town.production(CALLER)
    await town.production(who, tasks=5, dry_run=True)


async def a_step(town: Town, who: User) -> None:
    await town.transformation(CALLER, "mc-make")
    await town.production(who)


async def a_step_in_a_preview(town: Town, who: User) -> None:
    await town.transformation(CALLER, "mc-make")
    await town.production(who, dry_run=True)


async def an_archived_transformation(town: Town, who: User) -> None:
    await town.transformation(who, "mc")
    theirs = await service(town.store, who)
    await theirs.act(who, "1", DO_T(action=T.STOP))
    await theirs.act(who, "1", DO_T(action=T.ARCHIVE))
    await town.transformation(CALLER, "mc")
    await theirs.act(who, "1", DO_T(action=T.CLEAN))


async def an_archived_production(town: Town, who: User) -> None:
    await town.production(who)
    for action in (P.STOP, P.ARCHIVE):
        await town.productions.act(who, "1", DO_P(action=action))
    await town.production(CALLER)
    await town.productions.act(who, "1", DO_P(action=P.CLEAN))


STORIES: list[Story] = [
    a_transformation,
    a_preview,
    a_production,
    a_preview_of_a_production,
    a_step,
    a_step_in_a_preview,
    an_archived_transformation,
    an_archived_production,
]


@pytest.mark.parametrize("story", STORIES)
async def test_only_who_may_read_it_is_told_which_one_has_the_name(
    tmp_path: Path, story: Story
) -> None:
    with pytest.raises(Refused) as unread:
        await story(Town(tmp_path), EVE)
    with pytest.raises(Refused) as read:
        await story(Town(tmp_path), MAX)

    assert "another user of the community" in unread.value.message
    assert not any(letter.isdigit() for letter in unread.value.message)
    assert any(letter.isdigit() for letter in read.value.message)
    assert (unread.value.code, unread.value.field) == (read.value.code, read.value.field)


async def test_a_preview_does_not_tell_whether_ones_guess_at_a_document_is_right(
    tmp_path: Path,
) -> None:
    town = Town(tmp_path)
    await town.transformation(CALLER, "mc")
    said: list[str] = []
    for tasks in (1, 2):
        with pytest.raises(Refused) as why:
            await town.transformation(EVE, "mc", tasks=tasks, dry_run=True)
        said.append(why.value.message)

    assert said[0] == said[1]
