"""Productions and their steps: a part of the store."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec

from pilotage.proto.production_states import ProductionState

from ..productions import (
    STEPS_MAX,
    Extension,
    NameTaken,
    NewProduction,
    NewStep,
    ProductionMove,
    ProductionRow,
    ProductionTexts,
    Sample,
    StepName,
    StepRow,
    TaskMean,
)
from ..transformations import TransformationMove
from .opened import Opened
from .session import Session, json_list
from .transformations import row_of

MEANS_OF: Final = 50  # tasks around the last that ended, to each side

_parents = msgspec.json.Decoder(tuple[int, ...]).decode


class ProductionsVerbs(Opened):
    """The verbs of `store.productions`."""

    async def reserve_transformations(self, count: int) -> int:
        return await self._writer.run(lambda session: session.reserve("transformation", count))

    async def add_production(self, new: NewProduction, steps: Sequence[NewStep]) -> ProductionRow:
        return await self._writer.run(partial(_add, new=new, steps=steps), rows=2 * len(steps))

    async def production(self, production_id: int) -> ProductionRow | None:
        given = {"community": None, "states": None, "after": production_id - 1, "limit": 1}
        found = await self._reader.one("productions", given)
        row = None if found is None else _row(found)
        return row if row is not None and row.production_id == production_id else None

    async def production_named(self, community: str, name: str) -> ProductionRow | None:
        given = {"community": community, "name": name}
        found = await self._reader.one("production_named", given)
        return None if found is None else _row(found)

    async def productions(
        self,
        community: str | None,
        *,
        states: Sequence[ProductionState],
        after: int,
        limit: int,
    ) -> list[ProductionRow]:
        given = {
            "community": community,
            "states": json_list([state.value for state in states]) if states else None,
            "after": after,
            "limit": limit,
        }
        return [_row(row) for row in await self._reader.rows("productions", given)]

    async def production_texts(self, production_id: int) -> ProductionTexts | None:
        found = await self._reader.one("production_texts", {"production_id": production_id})
        if found is None:
            return None
        return ProductionTexts(
            definition=bytes(found[0]), details=bytes(found[1]), rules=str(found[2])
        )

    async def production_steps(
        self, production_ids: Sequence[int], *, documents: bool = False
    ) -> dict[int, list[StepRow]]:
        found: dict[int, list[StepRow]] = {one: [] for one in production_ids}
        given = {"productions": json_list(list(found)), "documents": documents}
        for production, place, step, parents, *row in await self._reader.rows(
            "production_steps", given
        ):
            found[production].append(
                StepRow(
                    production_id=production,
                    place=place,
                    step=step,
                    parents=_parents(parents),
                    row=row_of(row),
                )
            )
        return found

    async def steps_of(self, transformation_ids: Sequence[int]) -> dict[int, StepName]:
        given = {"transformations": json_list(list(transformation_ids))}
        return {
            row[0]: StepName(production_id=row[1], production=row[2], step=row[3])
            for row in await self._reader.rows("steps_of_transformations", given)
        }

    async def rules_of(self, transformation_id: int) -> str | None:
        given = {"transformation_id": transformation_id}
        found = await self._reader.one("rules_of_transformation", given)
        return None if found is None else str(found[0])

    async def move_production(
        self,
        move: ProductionMove,
        steps: Sequence[TransformationMove] = (),
        *,
        extensions: Sequence[Extension] = (),
    ) -> bool:
        write = partial(_move, move=move, steps=steps, extensions=extensions)
        return await self._writer.run(write, rows=1 + len(steps) + len(extensions))

    async def set_production_priority(
        self, production_id: int, priority: int | None, at: float
    ) -> None:
        given = {"production_id": production_id, "priority": priority, "at": at}

        def write(session: Session) -> None:
            session.run("set_production_priority", given)
            session.run("set_steps_priority", given)

        await self._writer.run(write)

    async def task_means(self, transformation_ids: Sequence[int]) -> dict[int, TaskMean]:
        given = {"transformations": json_list(list(transformation_ids)), "window": MEANS_OF}
        return {
            row[0]: TaskMean(tasks=row[1], wall_s=row[2], cpu_s=row[3], memory_mb=row[4])
            for row in await self._reader.rows("task_means", given)
        }

    async def files_made(self, transformation_ids: Sequence[int]) -> tuple[int, int]:
        given = {"transformations": json_list(list(transformation_ids))}
        files, size = await self._reader.one("files_made", given)
        return int(files), int(size)

    async def keep_samples(
        self, samples: Sequence[Sample], drop: Sequence[tuple[int, float]] = ()
    ) -> None:
        def write(session: Session) -> None:
            session.many("insert_sample", [msgspec.structs.asdict(one) for one in samples])
            session.many("drop_sample", drop)

        await self._writer.run(write, rows=len(samples) + len(drop))

    async def samples(self, production_id: int) -> list[Sample]:
        given = {"production_id": production_id}
        return [
            Sample(production_id=row[0], at=row[1], progress=row[2], tasks_done=row[3])
            for row in await self._reader.rows("samples_of_production", given)
        ]


# -- on the writer's session --------------------------------------------------------------------


def _add(session: Session, new: NewProduction, steps: Sequence[NewStep]) -> ProductionRow:
    if len(steps) > STEPS_MAX:
        raise ValueError(f"{len(steps)} steps are too many for one transaction: others would wait")
    named = {"community": new.community, "name": new.name}
    known = session.one("production_named", named)
    if known is not None:
        return _row(known)
    given = {**msgspec.structs.asdict(new), "state": new.state.value}
    production_id = session.reserve("production")
    session.run("insert_production", {**given, "production_id": production_id})
    for place, one in enumerate(steps):
        its = one.transformation
        taken = session.one("transformation_named", {"community": its.community, "name": its.name})
        if taken is not None:
            raise NameTaken(its.name, taken[0], one.step)
        fields = {**msgspec.structs.asdict(its), "state": its.state.value}
        one_id = one.transformation_id
        session.run("insert_transformation", {**fields, "transformation_id": one_id})
        row = (production_id, place, one.step, json_list(one.parents), one_id)
        session.run("insert_production_step", row)
    return _row(session.one("production_named", named))


def _move(
    session: Session,
    move: ProductionMove,
    steps: Sequence[TransformationMove],
    extensions: Sequence[Extension],
) -> bool:
    """Look whether all still stand where they were seen, then write: nobody writes in between."""
    production = {"production_id": move.production_id}
    state = session.one("state_of_production", production)
    if state is None or state[0] != move.old.value:
        return False
    for one in steps:
        at = {**production, "transformation_id": one.transformation_id, "state": one.old.value}
        if session.one("step_stands", at) is None:
            return False
    for extension in extensions:
        if session.one("step_wants", {**production, **msgspec.structs.asdict(extension)}) is None:
            return False
    given = {**msgspec.structs.asdict(move), "old": move.old.value, "new": move.new.value}
    session.run("move_production", given)
    for one in steps:
        fields = {**msgspec.structs.asdict(one), "old": one.old.value, "new": one.new.value}
        session.run("move_transformation", fields)
    for extension in extensions:
        wanted = {**msgspec.structs.asdict(extension), "at": move.at}
        session.run("extend_transformation", wanted)
    return True


def _row(row: Sequence[Any]) -> ProductionRow:
    given = dict(zip(ProductionRow.__struct_fields__, row, strict=True))
    return msgspec.convert(given, ProductionRow)
