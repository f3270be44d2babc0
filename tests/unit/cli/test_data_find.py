"""`data find` prints files in the order of their names."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from pilotage.central.cli.data import catalogue
from pilotage.proto.api.data import FileView
from pilotage.proto.catalogue import FileState

NAMES = ["users:c", "ana:z", "users:a", "users:b", "ana:y"]  # the central's order


class Found:
    """A client whose central has NAMES."""

    async def find_files(self, query: Any, *, states: Any) -> AsyncIterator[FileView]:
        for name in NAMES:
            yield FileView(did=name, bytes=1, state=FileState.AVAILABLE, metadata={})


async def printed(limit: int = 0) -> list[str]:
    found = catalogue.files_in_order(
        cast(Any, Found()), {}, [FileState.AVAILABLE], long=False, limit=limit
    )
    return [str(one.words) async for one in found]


async def test_files_are_sorted_by_name() -> None:
    assert await printed() == sorted(NAMES)
    assert await printed(limit=3) == sorted(NAMES[:3])


async def test_more_files_than_fit_in_memory_are_sorted_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalogue, "SORTED_MAX", 2)

    assert await printed() == [*sorted(NAMES[:2]), *sorted(NAMES[2:4]), NAMES[4]]
