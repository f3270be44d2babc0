"""The most that sites give to jobs: of pilots that could run them, by files and by what lives."""

from typing import Any

import msgspec
import pytest

from pilotage.central.failover.site_capacity import BOUNDLESS_MB, MaxGrant, most
from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.documents.job import Need
from tests.unit.factory.test_factory import CLAUSES

SPEC = ClassSpec(
    class_id=0, community="ctao", group="dpps", owner="ada", type="User",
    needs=(Need(memory_mb=0, wall_s=0),),
)  # fmt: skip


def an_offer(memory_mb: int, wall_s: int = 3_600, **given: Any) -> LiveOffer:
    fields: dict[str, Any] = {
        "pilot": "p", "community": "ctao", "site": "PIC", "element": "ce", "os": "debian13",
        "architecture": "x86_64", "cores": 1, "cores_free": 1, "memory_free_mb": memory_mb,
        "wall_left_s": wall_s, "scratch_free_mb": 10_000,
    }  # fmt: skip
    return LiveOffer(**{**fields, **given})


@pytest.mark.parametrize(
    ("living", "shapes", "expected"),
    [
        ([], [], MaxGrant()),
        ([an_offer(4_000)], [], MaxGrant(memory_mb=4_000)),
        ([an_offer(4_000, 99_999)], [an_offer(2_000, 7_200)], MaxGrant(4_000, 7_200)),
        ([], [an_offer(2_000), an_offer(8_000, 60)], MaxGrant(8_000, 3_600)),
        ([], [an_offer(BOUNDLESS_MB)], MaxGrant(0, 3_600)),
        ([an_offer(9_000, community="other")], [], MaxGrant()),
        ([an_offer(9_000, groups=frozenset({"other"}))], [], MaxGrant()),
    ],
)
def test_the_most_is_of_what_could_run_the_jobs(
    living: list[LiveOffer], shapes: list[LiveOffer], expected: MaxGrant
) -> None:
    assert most(SPEC, living, shapes, CLAUSES) == expected


def test_a_site_that_the_jobs_may_not_use_gives_them_nothing() -> None:
    offers = [an_offer(4_000), an_offer(16_000, site="CSCS")]
    need = msgspec.structs.replace(SPEC.needs[0], sites=("PIC",))

    assert most(SPEC, offers, [], CLAUSES).memory_mb == 16_000
    spec = msgspec.structs.replace(SPEC, needs=(need,))
    assert most(spec, offers, [], CLAUSES).memory_mb == 4_000
