"""What a class says beside its needs is stored and read again, as releases before it did too."""

import pytest

from pilotage.central.jobs.classes import class_info, wished
from pilotage.central.jobs.record_types import JobClassRow
from pilotage.proto.documents.job import Preference

PREFERENCE = Preference(sites=("PIC",), for_s=60)


@pytest.mark.parametrize("preference", [None, PREFERENCE])
@pytest.mark.parametrize("running_max", [0, 3])
def test_what_was_stored_is_read(preference: Preference | None, running_max: int) -> None:
    spec = class_info(row(wished(preference, "the key", running_max)), "ada").spec

    assert (spec.preference, spec.running_max) == (preference, running_max)
    assert spec.submission == ("the key" if running_max else "")


@pytest.mark.parametrize(
    ("stored", "preference"), [(b"null", None), (b'{"sites":["PIC"],"for_s":60}', PREFERENCE)]
)
def test_what_older_releases_stored_is_read_and_stays_the_same_class(
    stored: bytes, preference: Preference | None
) -> None:
    assert class_info(row(stored), "ada").spec.preference == preference
    assert wished(preference, "the key", 0) == stored


def row(preference: bytes) -> JobClassRow:
    return JobClassRow(
        class_id=1,
        community="ctao",
        group="sim",
        owner_id=1,
        type="User",
        needs=b"[{}]",
        preference=preference,
    )
