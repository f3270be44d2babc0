"""The stores that the suite runs on, one parameter each, named like its driver."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from pilotage.central.store.engine import Store
from pilotage.central.store.postgresql import open_postgresql
from pilotage.central.store.sqlite import open_sqlite
from tests.services import postgresql
from tests.services.folders import quick

from .rows import NOW as NOW

Reopen = Callable[[Store], Awaitable[Store]]


def never(why: str) -> None:
    raise AssertionError(f"the store broke: {why}")


async def open_at(path: Path) -> Store:
    return await open_sqlite(path, clock_wall=lambda: NOW, fatal=never)


Place = Callable[[], Awaitable[Store]]  # opens what lies there; the first time it is empty


@pytest.fixture(scope="session")
def server() -> Iterator[postgresql.Postgresql]:
    """One PostgreSQL for all tests, each of which has a schema of its own."""
    if postgresql.missing():
        pytest.skip(postgresql.missing())
    with postgresql.started() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def driver(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Ground(NamedTuple):
    """Where one store lies, which is empty at first, and its file if it is one."""

    open: Place
    path: Path | None = None


async def opened(ground: Ground) -> Store:
    return await ground.open()


Grounds = Callable[[], AbstractContextManager[Ground]]


@contextmanager
def ground(driver: str, request: pytest.FixtureRequest) -> Generator[Ground]:
    """Yield a new ground of a driver."""
    if driver == "sqlite":
        with tempfile.TemporaryDirectory(dir=quick()) as folder:
            path = Path(folder) / "store.db"
            yield Ground(partial(open_at, path), path)
    else:
        running: postgresql.Postgresql = request.getfixturevalue("server")
        with running.empty_schema() as url:
            yield Ground(partial(open_postgresql, url, clock_wall=lambda: NOW, fatal=never))


@pytest.fixture(params=["sqlite", "postgresql"])
def grounds(request: pytest.FixtureRequest) -> Grounds:
    """For walks that need several stores of one driver."""
    return partial(ground, request.param, request)


@pytest.fixture
def place(driver: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    with ground(driver, request) as made:
        yield made.open


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    opened = await place()
    yield opened
    await opened.close()


@pytest.fixture
async def reopen(place: Place) -> AsyncIterator[Reopen]:
    """Close a store and open it again, as the next process would."""
    opened: list[Store] = []

    async def again(store: Store) -> Store:
        await store.close()
        opened.append(await place())
        return opened[-1]

    yield again
    for store in opened:
        await store.close()
