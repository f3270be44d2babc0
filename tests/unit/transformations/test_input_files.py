"""Of a million files that wait memory has one set of metadata for those that are alike."""

from pilotage.central.transformations.input_files import TrimmedMetadata
from pilotage.proto.catalogue import Value


def test_equal_metadata_are_one_object_of_the_keys_that_are_looked_at() -> None:
    cut = TrimmedMetadata(["run", "zenith"])
    first = cut.of({"run": 1, "name": "a", "particle": "gamma"})

    assert first == {"run": 1}
    assert cut.of({"run": 1, "name": "b"}) is first
    assert cut.of({"zenith": 1}) == {"zenith": 1}


def test_what_people_tell_apart_stays_apart() -> None:
    cut = TrimmedMetadata(["good"])

    assert [str(cut.of({"good": value})["good"]) for value in (1, True, 1.0)] == [
        "1",
        "True",
        "1.0",
    ]


def test_rules_of_others_see_all() -> None:
    metadata: dict[str, Value] = {"run": 1, "name": "a"}

    assert TrimmedMetadata(None).of(metadata) is metadata
