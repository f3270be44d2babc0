"""Files that many transformations take: no transaction has more of it than others can wait for."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pilotage.central.catalogue import (
    record_read as catalogue_read,
    record_registration as registration,
)
from pilotage.central.catalogue.record_types import NewFile, NewReplica
from pilotage.central.catalogue.storages import Storages
from pilotage.central.transformations import intake, record as transformation_records
from pilotage.central.transformations.grouping import WaitingInput
from pilotage.central.transformations.input_files import FileReader
from pilotage.central.transformations.inputs import InputIndex, WantedInput
from pilotage.central.transformations.intake import InputIntake
from pilotage.proto.catalogue import Did, parse_query
from pilotage.proto.transformation_states import InputState
from tests.fake_central import FakeClock
from tests.memory_store import MemoryStore


async def test_what_many_take_is_written_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "TOGETHER", 4)
    store, index, came = MemoryStore(), InputIndex(), list[tuple[int, str]]()
    copy = (NewReplica(storage="disk", path="p"),)
    files = [
        NewFile(
            did=Did("a", f"f{n}"), bytes=1, adler32="00000001", metadata={"n": n}, replicas=copy
        )
        for n in range(5)
    ]
    await store.write(registration.register_files, "ctao", files, at=1.0)
    for one in range(1, 4):
        query = parse_query({"n": {"!=": 3}})
        index.put(one, [WantedInput(one, 0, "ctao", query, InputState.UNUSED)])

    def heard(one: int) -> Any:
        def tell(file: WaitingInput) -> None:
            came.append((one, file.did))

        return SimpleNamespace(by_site=False, cut=None, came=tell)

    written: list[tuple[int, int]] = []

    async def add_inputs(add: Any, inputs: Any, at: float, **given: Any) -> Any:
        written.append((len(inputs), given["looked"][1]))
        return await add(inputs, at, **given)

    store.ways[transformation_records.add_inputs] = add_inputs
    taking = InputIntake(
        store=store,
        catalogue=store,
        files=FileReader(store, Storages()),
        index=index,
        clock=FakeClock(),
    )
    await taking.changes("ctao", cast(Any, {one: heard(one) for one in range(1, 4)}))
    seqs = [row.seq for row in await store.read(catalogue_read.files_changed, "ctao", 0, limit=9)]

    assert written == [(6, seqs[1]), (6, seqs[4])]
    assert sorted(came) == [(one, f"a:f{n}") for one in (1, 2, 3) for n in (0, 1, 2, 4)]
    assert await store.read(transformation_records.looked_until, "ctao") == seqs[4]
