"""Groups by rule and policy."""

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from pilotage.central.transformations.grouping import (
    BadRule,
    Group,
    GroupingRule,
    GroupingSpec,
    WaitingInput,
    common,
    grouped,
    in_common,
)
from pilotage.central.transformations.groupings.rule_names import BUILT_IN
from pilotage.proto.documents.transformation import Grouping, InputSpec

NOW = 1_000.0


def a_file(number: int, *, input_no: int = 0, sites: str = "", **metadata: object) -> WaitingInput:
    size = metadata.pop("bytes", 10)
    since = metadata.pop("since", 900.0)
    return WaitingInput(
        file_id=number,
        input_no=input_no,
        did=f"ctao:f{number}",
        bytes=size,  # type: ignore[arg-type]
        metadata=metadata,  # type: ignore[arg-type]
        sites=tuple(sites.split(",")) if sites else (),
        since=since,  # type: ignore[arg-type]
    )


def ids(groups: Sequence[Group]) -> list[list[int]]:
    return [[one.file_id for one in group] for group in groups]


def made(
    files: Sequence[WaitingInput],
    closing: bool = False,
    specs: tuple[InputSpec, ...] = (InputSpec(),),
    **fields: object,
) -> list[list[int]]:
    grouping = Grouping(**fields)  # type: ignore[arg-type]
    plan = GroupingSpec(grouping, specs)
    return ids(grouped(BUILT_IN[grouping.rule], files, plan, now=NOW, closing=closing))


SEVEN = [a_file(n) for n in range(1, 8)]


def test_count_makes_full_groups_until_it_closes() -> None:
    assert made(SEVEN, size=3) == [[1, 2, 3], [4, 5, 6]]
    assert made(SEVEN, closing=True, size=3) == [[1, 2, 3], [4, 5, 6], [7]]


def test_after_a_time_what_is_there_goes() -> None:
    files = [*SEVEN[:6], a_file(7, since=500.0), a_file(8, since=999.0)]

    assert made(files, size=3, partial="after", after_s=400)[2:] == [[7, 8]]
    assert made(files, size=3, partial="after", after_s=600)[2:] == []


def test_bytes_fill_groups_and_a_large_file_goes_alone() -> None:
    files = [a_file(n, bytes=size) for n, size in enumerate((40, 40, 40, 500, 10, 10), start=1)]

    assert made(files, rule="bytes", bytes_max=100) == [[1, 2], [3], [4]]
    assert made(files, closing=True, rule="bytes", bytes_max=100) == [[1, 2], [3], [4], [5, 6]]
    exact = [a_file(n, bytes=size) for n, size in enumerate((50, 50, 10), start=1)]
    assert made(exact, rule="bytes", bytes_max=100) == [[1, 2]]


def test_all_is_one_group_when_no_more_come() -> None:
    assert made(SEVEN, rule="all") == []
    assert made(SEVEN, closing=True, rule="all") == [[1, 2, 3, 4, 5, 6, 7]]


def test_files_of_a_group_are_at_one_site() -> None:
    files = [
        a_file(1, sites="PIC"),
        a_file(2, sites="CSCS,PIC"),
        a_file(3, sites="CSCS"),
        a_file(4, sites="PIC"),
    ]

    assert made(files, rule="site", size=2) == [[1, 2]]
    assert made(files, closing=True, rule="site", size=2) == [[1, 2], [4], [3]]


def test_keys_part_files_and_one_without_them_waits() -> None:
    files = [
        a_file(1, run=1, flag=True),
        a_file(2, run=1, flag=1),
        a_file(3, run=1, flag=True),
        a_file(4, run=2),
    ]

    assert made(files, rule="key", keys=("run", "flag"), size=2) == [[1, 3]]
    assert made(files, closing=True, rule="key", keys=("run", "flag"), size=9) == [[1, 3], [2]]


JOINED = (
    InputSpec(name="raw", query={"level": 0}, on=("run", "chunk"), count=2),
    InputSpec(name="calibration", query={"level": 9}, on=("run_id", "part")),
)


def test_a_join_waits_for_all_of_its_sides_in_any_order() -> None:
    raw = [a_file(n, run=1, chunk=7) for n in (1, 2, 3)]
    other = a_file(4, run=2, chunk=7)
    calibration = a_file(9, input_no=1, run_id=1, part=7)

    assert made([*raw, other], specs=JOINED, rule="join") == []
    assert made([calibration, other, *raw], specs=JOINED, rule="join") == [[1, 2, 9]]
    assert made([calibration, raw[0]], specs=JOINED, rule="join") == []
    assert made([calibration, raw[0]], closing=True, specs=JOINED, rule="join") == [[1, 9]]
    assert made(raw, closing=True, specs=JOINED, rule="join") == [], "nothing to join with"


@pytest.mark.parametrize(
    "groups",
    [
        pytest.param([()], id="empty"),
        pytest.param([(SEVEN[0],), (SEVEN[0], SEVEN[1])], id="twice"),
        pytest.param([(a_file(99),)], id="made up"),
    ],
)
def test_a_rule_of_others_that_makes_nonsense_is_refused(groups: list[Group]) -> None:
    def rule(files: Sequence[WaitingInput], plan: GroupingSpec, *, partial: bool) -> list[Group]:
        return groups

    with pytest.raises(BadRule):
        grouped(rule, SEVEN, GroupingSpec(Grouping(), (InputSpec(),)), now=NOW, closing=False)


files_at_random = st.lists(
    st.tuples(
        st.integers(0, 90),
        st.sampled_from(["", "PIC", "CSCS", "PIC,CSCS"]),
        st.integers(0, 2),
    ),
    max_size=20,
)


@given(files_at_random, st.sampled_from(sorted(set(BUILT_IN) - {"join"})), st.integers(1, 5))
def test_no_rule_loses_or_doubles_a_file(
    rows: list[tuple[int, str, int]], name: str, size: int
) -> None:
    files = [a_file(n, bytes=b, sites=s, run=r) for n, (b, s, r) in enumerate(rows, start=1)]
    rule: GroupingRule = BUILT_IN[name]
    plan = GroupingSpec(
        Grouping(rule=name, size=size, bytes_max=100, keys=("run",)), (InputSpec(),)
    )
    full = rule(files, plan, partial=False)
    taken = [one for group in full for one in group]
    whole = rule(files, plan, partial=True)

    assert len(set(taken)) == len(taken)
    assert sorted(one.file_id for group in whole for one in group) == list(
        range(1, len(rows) + 1)
    )  # fmt: skip
    if name not in ("all", "bytes"):
        assert {len(group) for group in full} <= {size}


def test_what_a_group_has_in_common() -> None:
    group = [a_file(1, run=1, particle="gamma"), a_file(2, run=2, particle="gamma", x=True)]

    assert common(group) == {"particle": "gamma"}
    assert in_common([{"a": 1, "b": 2, "c": 3}, {"a": True, "b": 2.5, "c": 3}]) == {"c": 3}
    assert common([]) == {}
