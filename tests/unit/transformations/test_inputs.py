"""Which files belong to which transformation: what the index says, against each query by itself."""

import random
from typing import Any

import pytest

from pilotage.central.catalogue.record_types import FileRow
from pilotage.central.transformations.inputs import InputIndex, WantedInput
from pilotage.proto.catalogue import Did, FileState, parse_query
from pilotage.proto.transformation_states import InputState

DATASET = Did("ctao", "some")
QUERIES: list[dict[str, Any]] = [
    {},
    {"particle": "gamma"},
    {"particle": "gamma", "run": {">=": 2}},
    {"run": 3},
    {"run": {"exists": False}},
    {"nsb": {"in": [1, 5]}, "run": {"<": 3}},
    {"dataset": str(DATASET), "particle": "proton"},
    {"dataset": str(DATASET), "run": {"!=": 1}},
]
# Which metadata a set has; a run number may be its files' own, in the set, or missing.
SETS: dict[int, dict[str, Any]] = {
    1: {"particle": "gamma"},
    2: {"particle": "gamma", "nsb": 1},
    3: {"particle": "proton", "nsb": 5, "run": 2},
    4: {"particle": "proton"},
    5: {},
}


def a_file(chance: random.Random, number: int) -> FileRow:
    set_id = chance.choice(list(SETS))
    shared = SETS[set_id]
    own = {"run": chance.randint(1, 4)} if "run" not in shared and chance.random() < 0.7 else {}
    return FileRow(
        file_id=number,
        did=Did("ctao", f"f{number}"),
        bytes=1,
        adler32="00000001",
        sha256="",
        state=FileState.AVAILABLE,
        set_id=set_id,
        own=own,
        metadata={**shared, **own},
        owner_id=1,
        job_id=None,
        epoch=None,
        created_at=0.0,
        seq=number,
    )


def wanted(transformation_id: int, input_no: int, query: dict[str, Any], whose: str) -> WantedInput:
    return WantedInput(transformation_id, input_no, whose, parse_query(query), InputState.UNUSED)


@pytest.mark.parametrize("seed", range(20))
def test_the_index_finds_what_each_query_finds(seed: int) -> None:
    chance = random.Random(seed)
    index = InputIndex()
    there: dict[int, list[WantedInput]] = {}
    for number in range(200):
        if chance.random() < 0.2:
            one = chance.randint(1, 6)
            there.pop(one, None)
            index.drop(one)
            if chance.random() < 0.8:
                whose = chance.choice(["ctao", "other"])
                queries = chance.sample(QUERIES, chance.randint(1, 2))
                there[one] = [wanted(one, i, query, whose) for i, query in enumerate(queries)]
                index.put(one, there[one])
        file = a_file(chance, number)
        datasets = [DATASET] if chance.random() < 0.5 else []
        expected = [
            (each.transformation_id, each.input_no)
            for several in there.values()
            for each in several
            if each.community == "ctao"
            and each.query.meets(file.metadata)
            and (each.query.dataset is None or each.query.dataset in datasets)
        ]

        found = index.takers("ctao", file, datasets)

        assert sorted((one.transformation_id, one.input_no) for one in found) == sorted(expected)
    assert index.communities() == {each.community for some in there.values() for each in some}
