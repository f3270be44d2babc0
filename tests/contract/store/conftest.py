"""The stores that the suite runs on, one parameter each, named like its driver."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pilotage.central.store.protocol import Store
from pilotage.central.store.sqlite import SqliteStore, open_sqlite
from tests.fake_store import FakeStore

NOW = 1_000.0

Reopen = Callable[[Store], Awaitable[Store]]


def never(why: str) -> None:
    raise AssertionError(f"the store broke: {why}")


async def open_at(path: Path) -> SqliteStore:
    return await open_sqlite(path, clock_wall=lambda: NOW, fatal=never)


@pytest.fixture(params=["fake", "sqlite"])
def driver(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(driver: str, path: Path) -> AsyncIterator[Store]:
    opened: Store = FakeStore(clock_wall=lambda: NOW) if driver == "fake" else await open_at(path)
    yield opened
    await opened.close()


@pytest.fixture
async def reopen(path: Path) -> AsyncIterator[Reopen]:
    """Close a store and open it again, as the next process would."""
    opened: list[Store] = []

    async def again(store: Store) -> Store:
        await store.close()
        if isinstance(store, FakeStore):
            return store.reopened()
        opened.append(await open_at(path))
        return opened[-1]

    yield again
    for store in opened:
        await store.close()
