"""One real Rucio server for all cases of the folder."""

from collections.abc import Generator

import pytest

from tests.services.rucio import RucioServer, missing, rucio_server


@pytest.fixture(scope="session")
def rucio() -> Generator[RucioServer]:
    """Yield the server. Each case uses a scope and RSEs of its own."""
    if why := missing():
        pytest.skip(f"needs {why}")
    with rucio_server() as server:
        yield server
