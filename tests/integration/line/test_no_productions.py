"""A central without productions."""

import asyncio
from collections.abc import Awaitable, Callable

from pilotage.central.productions import record as production_records
from tests.fakes import FakeInstallation

from .test_productions import tale
from .test_transformations import added


def test_without_productions_nothing_is_asked_of_the_store() -> None:
    async def tell(world: FakeInstallation) -> None:
        asked: list[str] = []
        await asyncio.sleep(1.0)  # it has looked once whether there are any
        for verb in (
            production_records.production,
            production_records.productions,
            production_records.production_steps,
            production_records.samples,
        ):
            world.store.ways[verb] = _counting(verb.__name__, asked)
        await added(world, tasks=3)
        await asyncio.sleep(200.0)

        assert asked == []

    tale(tell)


def _counting(name: str, asked: list[str]) -> Callable[..., Awaitable[object]]:
    async def call(*given: object, **fields: object) -> object:
        asked.append(name)
        return []

    return call
