"""The part of the store in memory that keeps productions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec

from pilotage.central.store.errors import StoreError
from pilotage.central.store.productions import (
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
from pilotage.central.store.quotas import Naming
from pilotage.central.store.transformations import TransformationMove
from pilotage.proto.catalogue import BYTES_MAX, FileState
from pilotage.proto.production_states import NAMED, ProductionState
from pilotage.proto.transformation_states import TaskState

from .fake_store_files import CatalogueData
from .fake_store_transformations import FakeTransformations, TransformationData

MEANS_OF = 50


@dataclass
class ProductionData(TransformationData):
    """What survives a restart, of productions and of their transformations."""

    productions: dict[int, ProductionRow] = field(default_factory=dict[int, ProductionRow])
    texts: dict[int, ProductionTexts] = field(default_factory=dict[int, ProductionTexts])
    steps: dict[int, list[NewStep]] = field(default_factory=dict[int, list[NewStep]])
    samples: dict[tuple[int, float], Sample] = field(
        default_factory=dict[tuple[int, float], Sample]
    )

    def with_blobs(self) -> list[Naming]:
        kept = [
            Naming(row.owner_id, row.group, self.texts[one].definition)
            for one, row in self.productions.items()
            if row.state is not ProductionState.CLEANED
        ]
        return [*super().with_blobs(), *kept]


class FakeProductions(FakeTransformations):
    """The verbs of `store.productions`."""

    _catalogue_data: CatalogueData

    @property
    def _productions(self) -> ProductionData:
        return cast(ProductionData, self._transformation_data)

    async def reserve_transformations(self, count: int) -> int:
        self.begin_write()
        first = self._productions.next_id
        self._productions.next_id += count
        await self.synced()
        return first

    async def add_production(self, new: NewProduction, steps: Sequence[NewStep]) -> ProductionRow:
        self.begin_write()
        if len(steps) > STEPS_MAX:
            raise ValueError("too many steps")
        data = self._productions
        known = await self.production_named(new.community, new.name)
        if known is None:
            known = self._add(new, steps, data)
        await self.synced()
        return known

    def _add(
        self, new: NewProduction, steps: Sequence[NewStep], data: ProductionData
    ) -> ProductionRow:
        names: dict[str, int] = {}
        for one in steps:
            its = one.transformation
            taken = self._named(its.community, its.name)
            if taken is not None or its.name in names:
                other = taken.transformation_id if taken is not None else names[its.name]
                raise NameTaken(its.name, other, one.step)
            names[its.name] = one.transformation_id
        given = msgspec.structs.asdict(new)
        texts = {name: given.pop(name) for name in ("definition", "details", "rules")}
        at = given.pop("at")
        production_id = max(data.productions, default=0) + 1
        row = ProductionRow(
            production_id=production_id, reason="", made_at=at, changed_at=at, **given
        )
        data.productions[production_id] = row
        data.texts[production_id] = ProductionTexts(**texts)
        data.steps[production_id] = list(steps)
        for one in steps:
            self._insert(one.transformation_id, one.transformation)
        return row

    async def production(self, production_id: int) -> ProductionRow | None:
        return self._productions.productions.get(production_id)

    async def production_named(self, community: str, name: str) -> ProductionRow | None:
        for row in self._productions.productions.values():
            if (row.community, row.name) == (community, name) and row.state in NAMED:
                return row
        return None

    async def productions(
        self,
        community: str | None,
        *,
        states: Sequence[ProductionState],
        after: int,
        limit: int,
    ) -> list[ProductionRow]:
        return [
            row
            for one, row in sorted(self._productions.productions.items())
            if one > after
            and community in (None, row.community)
            and (not states or row.state in states)
        ][:limit]

    async def production_texts(self, production_id: int) -> ProductionTexts | None:
        return self._productions.texts.get(production_id)

    async def production_steps(
        self, production_ids: Sequence[int], *, documents: bool = False
    ) -> dict[int, list[StepRow]]:
        data = self._productions
        without: dict[str, bytes] = {} if documents else {"doc": b""}
        return {
            production: [
                StepRow(
                    production_id=production,
                    place=place,
                    step=one.step,
                    parents=one.parents,
                    row=msgspec.structs.replace(data.rows[one.transformation_id], **without),
                )
                for place, one in enumerate(data.steps.get(production, ()))
            ]
            for production in production_ids
        }

    async def steps_of(self, transformation_ids: Sequence[int]) -> dict[int, StepName]:
        data = self._productions
        return {
            one.transformation_id: StepName(
                production_id=production,
                production=data.productions[production].name,
                step=one.step,
            )
            for production, steps in data.steps.items()
            for one in steps
            if one.transformation_id in transformation_ids
        }

    async def rules_of(self, transformation_id: int) -> str | None:
        found = (await self.steps_of([transformation_id])).get(transformation_id)
        return None if found is None else self._productions.texts[found.production_id].rules or None

    async def move_production(
        self,
        move: ProductionMove,
        steps: Sequence[TransformationMove] = (),
        *,
        extensions: Sequence[Extension] = (),
    ) -> bool:
        self.begin_write()
        data = self._productions
        done = self._stand(move, steps, extensions, data)
        if done:
            for one in steps:
                self._check_unique(one)
            row = data.productions[move.production_id]
            if move.new in NAMED and any(
                (one.community, one.name) == (row.community, row.name) and one.state in NAMED
                for its, one in data.productions.items()
                if its != move.production_id
            ):
                raise StoreError(f"{row.name!r} is the name of another one")
            data.productions[move.production_id] = msgspec.structs.replace(
                data.productions[move.production_id],
                state=move.new,
                reason=move.reason,
                changed_at=move.at,
            )
            for one in steps:
                self._move_row(one)
            for extension in extensions:
                self._replace_row(
                    extension.transformation_id, tasks_wanted=extension.new, changed_at=move.at
                )
        await self.synced()
        return done

    def _stand(
        self,
        move: ProductionMove,
        steps: Sequence[TransformationMove],
        extensions: Sequence[Extension],
        data: ProductionData,
    ) -> bool:
        row = data.productions.get(move.production_id)
        if row is None or row.state is not move.old:
            return False
        mine = {one.transformation_id for one in data.steps[move.production_id]}
        if any(
            one.transformation_id not in mine
            or data.rows[one.transformation_id].state is not one.old
            for one in steps
        ):
            return False
        return all(
            one.transformation_id in mine
            and data.rows[one.transformation_id].tasks_wanted == one.old
            and data.rows[one.transformation_id].tasks_made <= one.new
            for one in extensions
        )

    async def set_production_priority(
        self, production_id: int, priority: int | None, at: float
    ) -> None:
        self.begin_write()
        data = self._productions
        data.productions[production_id] = msgspec.structs.replace(
            data.productions[production_id], priority=priority, changed_at=at
        )
        for one in data.steps[production_id]:
            self._replace_row(one.transformation_id, priority=priority)
        await self.synced()

    async def task_means(self, transformation_ids: Sequence[int]) -> dict[int, TaskMean]:
        data = self._productions
        found: dict[int, TaskMean] = {}
        for one in transformation_ids:
            tasks = [task.row for task in data.tasks.values() if task.transformation_id == one]
            ended = sum(task.state is not TaskState.CREATED for task in tasks)
            usages = [
                usage
                for task in tasks
                if task.state is TaskState.DONE and abs(task.number - ended) <= MEANS_OF
                if task.job_id in self._data.jobs
                for attempt_id in self._data.jobs[task.job_id].attempts[-1:]
                if (usage := self._data.attempts[attempt_id].usage) is not None
            ]
            if usages:
                count = len(usages)
                found[one] = TaskMean(
                    tasks=count,
                    wall_s=sum(usage.wall_s for usage in usages) / count,
                    cpu_s=sum(usage.cpu_s for usage in usages) / count,
                    memory_mb=sum(usage.memory_peak_mb for usage in usages) / count,
                )
        return found

    async def files_made(self, transformation_ids: Sequence[int]) -> tuple[int, int]:
        jobs = {
            task.row.job_id
            for task in self._productions.tasks.values()
            if task.transformation_id in transformation_ids
        }
        found = self._catalogue_data.all()
        there = [
            one.bytes for one in found if one.job_id in jobs and one.state is FileState.AVAILABLE
        ]
        return len(there), min(sum(there), BYTES_MAX)

    async def keep_samples(
        self, samples: Sequence[Sample], drop: Sequence[tuple[int, float]] = ()
    ) -> None:
        self.begin_write()
        kept = self._productions.samples
        for one in samples:
            kept.setdefault((one.production_id, one.at), one)
        for key in drop:
            kept.pop(key, None)
        await self.synced()

    async def samples(self, production_id: int) -> list[Sample]:
        found = self._productions.samples.values()
        mine = [one for one in found if one.production_id == production_id]
        return sorted(mine, key=lambda one: one.at)
