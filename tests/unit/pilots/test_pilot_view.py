"""A pilot as people see it."""

import msgspec

from pilotage.central.cli.pilots.facts import facts
from pilotage.central.jobs.leases import LeasePhase
from pilotage.central.pilots.presence import Presence
from pilotage.central.pilots.record_types import PilotRow
from pilotage.central.pilots.view import pilot_view
from pilotage.proto.api.pilots import PilotView
from pilotage.proto.messages import Node, Offer
from pilotage.proto.pilot_states import PilotState
from tests.builders import a_lease

NODE = Node(host="wn1", os="el9", glibc="2.34", architecture_level=3, hs23_per_core=11.5)
OFFER = Offer(
    cores=4,
    cores_free=4,
    memory_mb=8_000,
    memory_free_mb=8_000,
    wall_left_s=3_600.0,
    gpus=2,
    gpus_free=2,
    gpu_vendor="nvidia",
    required_tags=("gpuonly",),
    types=("Merge", "Test"),
)


def view_of(offer: Offer | None, state: PilotState = PilotState.RUNNING) -> PilotView:
    row = PilotRow(
        pilot="p1",
        community="ctao",
        site="PIC",
        element="ce1",
        state=state,
        session=1,
        nonce="",
        renewal_hash="",
        host="wn1",
        node=msgspec.json.encode(NODE) if state is not PilotState.SUBMITTED else b"",
        made_at=0.0,
        registered_at=1.0,
        ended_at=None,
        reason="",
    )
    presence = Presence(
        pilot="p1",
        community="ctao",
        site="PIC",
        element="ce1",
        session=1,
        state=state,
        node=NODE,
        registered_at=1.0,
        heard=10.0,
        offer=offer,
    )
    leases = [a_lease(job=1), a_lease(job=2, phase=LeasePhase.OPEN)]
    return pilot_view(row, presence, leases, parked=True, now=12.5)


def test_all_that_a_pilot_offers_and_its_node_can_be_seen() -> None:
    view = view_of(OFFER)

    assert (view.cores, view.cores_free, view.memory_free_mb) == (4, 3, 7_000)
    assert (view.gpus, view.gpus_free, view.gpu_vendor) == (2, 2, "nvidia")
    assert (view.os, view.glibc, view.architecture_level) == ("el9", "2.34", 3)
    assert (view.required_tags, view.types) == (("gpuonly",), ("Merge", "Test"))
    assert (view.wall_left_s, view.silent_s, view.attempts) == (3_600.0, 2.5, 1)


def test_what_is_not_known_says_so() -> None:
    shown = dict(facts(view_of(OFFER)))

    assert (shown["gpu_driver"], shown["cpu_model"]) == ("unknown", "unknown")
    assert (shown["types"], shown["groups"], shown["parked"]) == ("Merge, Test", "all", "yes")
    assert shown["hs23_per_core"] == "11.5"


def test_before_it_asks_nothing_is_known_of_what_it_offers() -> None:
    shown = dict(facts(view_of(None)))

    assert {shown[name] for name in ("cores", "memory_mb", "gpus", "types", "wall_left_s")} == {"-"}
    assert "gpu_vendor" not in shown
    assert (shown["os"], shown["host"]) == ("el9", "wn1")
