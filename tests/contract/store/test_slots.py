"""Slots of submitted pilots: there before the element is asked, and never moved backwards."""

import pytest

from pilotage.central.jobs import record_retention as retention_records
from pilotage.central.pilots import record as pilot_records, record_slots as slot_records
from pilotage.central.pilots.record_slots import NewSlot, SlotOutput
from pilotage.central.pilots.record_types import NewSecret, Registration
from pilotage.central.store.engine import Store
from pilotage.central.store.errors import StoreError
from pilotage.proto.pilot_states import PilotState

from .conftest import Reopen


def a_slot(pilot: str) -> NewSlot:
    return NewSlot(
        shape="8c",
        secret=NewSecret(
            secret_hash=f"hash-{pilot}",
            pilot=pilot,
            community="ctao",
            site="PIC",
            element="slurm",
            expires_at=2_000.0,
            made_by="factory",
            at=1_000.0,
        ),
    )


async def registered(store: Store, pilot: str) -> None:
    await store.write(
        pilot_records.register,
        Registration(
            secret_hash=f"hash-{pilot}",
            nonce="n",
            renewal_hash="r",
            host="wn7",
            node=b"{}",
            at=1_001.0,
        ),
    )


async def states(store: Store) -> dict[str, PilotState]:
    rows = await store.read(slot_records.kept_slots, after="", limit=9)
    return {row.pilot: row.state for row in rows}


async def test_a_slot_is_there_before_its_element_names_it(store: Store, reopen: Reopen) -> None:
    await store.write(slot_records.add_slots, [a_slot("p1"), a_slot("p2")])
    await store.write(slot_records.place_slots, {"p2": "77"})
    store = await reopen(store)

    rows = await store.read(slot_records.kept_slots, after="", limit=9)

    assert [(row.pilot, row.slot, row.state, row.shape) for row in rows] == [
        ("p1", None, PilotState.SUBMITTED, "8c"),
        ("p2", "77", PilotState.WAITING, "8c"),
    ]
    assert [
        row.pilot for row in await store.read(slot_records.kept_slots, after="p1", limit=9)
    ] == ["p2"]
    assert len(await store.read(slot_records.kept_slots, after="", limit=1)) == 1


async def test_slots_are_added_all_or_none(store: Store) -> None:
    await store.write(slot_records.add_slots, [a_slot("p1")])

    with pytest.raises(StoreError):
        await store.write(slot_records.add_slots, [a_slot("p2"), a_slot("p1")])

    assert await states(store) == {"p1": PilotState.SUBMITTED}


async def test_what_the_element_says_does_not_move_a_pilot_that_has_registered(
    store: Store,
) -> None:
    await store.write(slot_records.add_slots, [a_slot("p1"), a_slot("p2")])
    await registered(store, "p1")
    await store.write(slot_records.place_slots, {"p1": "5", "p2": "6"})

    ended = await store.write(
        slot_records.end_waiting, {"p1": "gone", "p2": "gone"}, PilotState.FAILED, 1_100.0
    )

    assert ended == ["p2"]
    assert await states(store) == {"p1": PilotState.RUNNING, "p2": PilotState.FAILED}
    row = await store.read(pilot_records.pilot, "p2")
    assert row is not None
    assert (row.ended_at, row.reason) == (1_100.0, "gone")


async def test_a_slot_keeps_its_first_name(store: Store) -> None:
    await store.write(slot_records.add_slots, [a_slot("p1")])
    await store.write(slot_records.place_slots, {"p1": "5"})
    await store.write(slot_records.place_slots, {"p1": "6", "nobody": "7"})

    assert [row.slot for row in await store.read(slot_records.kept_slots, after="", limit=9)] == [
        "5"
    ]


async def test_a_pilot_whose_end_was_told_cannot_register(store: Store) -> None:
    await store.write(slot_records.add_slots, [a_slot("p1")])
    await store.write(
        slot_records.end_waiting, {"p1": "never submitted"}, PilotState.ABORTED, 1_100.0
    )

    with pytest.raises(StoreError):
        await registered(store, "p1")


async def test_output_outlives_the_slot(store: Store) -> None:
    await store.write(slot_records.add_slots, [a_slot("p1")])
    await store.write(slot_records.place_slots, {"p1": "5"})
    await store.write(
        slot_records.keep_output, "p1", SlotOutput(exit_code=3, stdout=b"\x00out", stderr=b"err")
    )
    await store.write(slot_records.forget_slots, ["p1"])

    assert await store.read(slot_records.kept_slots, after="", limit=9) == []
    assert await store.read(slot_records.slot_output, "p1") == SlotOutput(
        slot="5", exit_code=3, stdout=b"\x00out", stderr=b"err"
    )
    assert await store.read(slot_records.slot_output, "p2") is None


async def test_a_slot_goes_with_its_pilot(store: Store) -> None:
    await store.write(slot_records.add_slots, [a_slot("p1"), a_slot("p2")])
    await store.write(slot_records.end_waiting, {"p1": "gone"}, PilotState.FAILED, 1_100.0)
    await store.write(retention_records.prune_pilots, ["p1", "p2"], 1_200.0)

    assert list(await states(store)) == ["p2"]
    assert await store.read(slot_records.slot_output, "p1") is None
