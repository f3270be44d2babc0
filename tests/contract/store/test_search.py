"""The contract of searches: every clause alone and together, pages, counts."""

import itertools
from collections import Counter
from typing import Any

import msgspec
import pytest

from pilotage.central.jobs import (
    record as job_records,
    record_search as job_search,
    record_submissions as submission_records,
)
from pilotage.central.jobs.record_types import AttemptStart, JobSearch, NewJob
from pilotage.central.store.engine import CHUNK_MAX, Store
from pilotage.proto.job_states import JobState
from tests import turns

from .rows import (
    a_class,
    a_move,
    a_requeue,
    a_submission,
    an_end,
    matched,
    some_jobs,
    submitted,
)

S = JobState


async def fill(store: Store) -> None:
    """Ten jobs of three kinds.

    id  owner  group  type  community  state    site  name
    1   ada    sim    User  ctao       Waiting  -     shower (the template's)
    2   ada    sim    User  ctao       Waiting  PIC   shower, cut off, may come back
    3   ada    sim    User  ctao       Matched  PIC   shower
    4   ada    sim    User  ctao       Running  CSCS  shower
    5   bob    ana    Test  ctao       Done     PIC   plot
    6   bob    ana    Test  ctao       Failed   CSCS  plot
    7   bob    ana    Test  ctao       Killed   -     plot, deleted
    8   bob    ana    Test  ctao       Held     -     shower
    9   ada    sim    User  lhcb       Waiting  -     -
    10  ada    sim    User  lhcb       Running  PIC   -
    """
    ada = await a_class(store)
    bob = await a_class(store, subject="bob", group="ana", type="Test")
    elsewhere = await a_class(store, community="lhcb")
    await submitted(store, ada, 4)
    named = [NewJob(class_id=bob.class_id, body=b"{}", name="plot") for _ in range(3)]
    named.append(NewJob(class_id=bob.class_id, body=b"{}", name="shower"))
    await store.write(submission_records.submit, a_submission(bob, template=None), named)
    await store.write(
        submission_records.submit, a_submission(elsewhere, template=None), some_jobs(elsewhere, 2)
    )
    second = await matched(store, 2)
    await matched(store, 3)
    fourth = await matched(store, 4, site="CSCS")
    fifth, sixth = await matched(store, 5), await matched(store, 6, site="CSCS")
    tenth = await matched(store, 10)
    await turns.change(
        store,
        [
            a_requeue(second, 2),
            AttemptStart(attempt_id=fourth, job_id=4, at=21.0),
            an_end(fifth, 5),
            an_end(sixth, 6, new=S.FAILED, failed=True),
            AttemptStart(attempt_id=tenth, job_id=10, at=21.0),
        ],
    )
    await store.write(
        job_records.move, [a_move(7, S.WAITING, S.KILLED), a_move(8, S.WAITING, S.HELD)]
    )
    await store.write(job_records.delete, [7], 60.0, "bob")


CLAUSES: dict[str, tuple[JobSearch, list[int]]] = {
    "none": (JobSearch(), [1, 2, 3, 4, 5, 6, 8, 9, 10]),
    "deleted": (JobSearch(include_deleted=True), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    "community": (JobSearch(community="lhcb"), [9, 10]),
    "unknown community": (JobSearch(community="cern"), []),
    "owner id": (JobSearch(owner_id=2), [5, 6, 8]),
    "owner": (JobSearch(owner="ada"), [1, 2, 3, 4, 9, 10]),
    "group": (JobSearch(groups=("ana",)), [5, 6, 8]),
    "groups": (JobSearch(groups=("ana", "sim")), [1, 2, 3, 4, 5, 6, 8, 9, 10]),
    "type": (JobSearch(type="Test"), [5, 6, 8]),
    "waiting": (JobSearch(states=(S.WAITING,)), [1, 2, 9]),
    "matched": (JobSearch(states=(S.MATCHED,)), [3]),
    "running": (JobSearch(states=(S.RUNNING,)), [4, 10]),
    "resting and live": (JobSearch(states=(S.RUNNING, S.WAITING, S.DONE)), [1, 2, 4, 5, 9, 10]),
    "killed": (JobSearch(states=(S.KILLED,)), []),
    "killed and deleted": (JobSearch(states=(S.KILLED,), include_deleted=True), [7]),
    "site": (JobSearch(site="PIC"), [2, 3, 5, 10]),
    "unknown site": (JobSearch(site="CERN"), []),
    "ids": (JobSearch(ids=(9, 5, 3, 5, 7, 99)), [3, 5, 9]),
    "ids and state": (JobSearch(ids=(1, 3, 5), states=(S.MATCHED, S.DONE)), [3, 5]),
    "submission": (JobSearch(submission_id=1), [1, 2, 3, 4]),
    "unknown submission": (JobSearch(submission_id=9), []),
    "submission and state": (JobSearch(submission_id=1, states=(S.RUNNING, S.WAITING)), [1, 2, 4]),
    "submission and site": (JobSearch(submission_id=1, site="PIC"), [2, 3]),
    "own name": (JobSearch(name="plot"), [5, 6]),
    "own and template's name": (JobSearch(name="shower"), [1, 2, 3, 4, 8]),
    "name and state": (JobSearch(name="shower", states=(S.MATCHED, S.HELD)), [3, 8]),
    "name and submission": (JobSearch(name="shower", submission_id=2), [8]),
    "name and ids": (JobSearch(name="shower", ids=(1, 5, 8)), [1, 8]),
    "name and site": (JobSearch(name="shower", site="PIC"), [2, 3]),
    "owner and state": (JobSearch(owner_id=1, states=(S.WAITING,)), [1, 2]),
    "site and state": (JobSearch(site="PIC", states=(S.WAITING, S.RUNNING)), [2, 10]),
    "community and site": (JobSearch(community="ctao", site="PIC"), [2, 3, 5]),
    "everything": (
        JobSearch(
            community="ctao", owner_id=2, groups=("ana",), states=(S.DONE,), ids=(5, 6),
            submission_id=2, owner="bob", type="Test", site="PIC", name="plot",
        ),
        [5],
    ),
}  # fmt: skip


async def test_every_clause_finds_its_jobs(store: Store) -> None:
    await fill(store)
    found = {
        name: await store.read(job_search.ids, search, limit=20)
        for name, (search, _) in CLAUSES.items()
    }

    assert found == {name: expected for name, (_, expected) in CLAUSES.items()}


async def test_every_clause_comes_in_pages(store: Store) -> None:
    await fill(store)
    for name, (search, expected) in CLAUSES.items():
        pages: list[int] = []
        after = 0
        while page := await store.read(job_search.search, search, after=after, limit=2):
            assert len(page) <= 2
            after = page[-1].job_id
            pages += [row.job_id for row in page]

        assert pages == expected, name


async def test_rows_say_the_same_in_a_search_and_alone(store: Store) -> None:
    await fill(store)
    rows = await store.read(job_search.search, JobSearch(include_deleted=True), after=0, limit=20)

    assert [await store.read(job_records.job, row.job_id) for row in rows] == rows
    assert rows[6].deleted and rows[4].name == "plot" and rows[0].name is None
    assert rows[0].submission_name == "a campaign"
    assert await store.read(job_records.job, 99) is None
    assert await store.read(job_records.jobs, [5, 99, 1]) == {
        row.job_id: row for row in (rows[0], rows[4])
    }
    assert await store.read(job_records.jobs, []) == {}


async def test_counts_are_those_of_searches(store: Store) -> None:
    await fill(store)
    rows = await store.read(job_search.search, JobSearch(), after=0, limit=20)
    expected = Counter(
        (row.community, row.group, row.owner_id, row.owner, row.type, row.site, row.state)
        for row in rows
    )
    counted = {
        msgspec.structs.astuple(row)[:-1]: row.count  # all but the count itself
        for row in await store.read(job_records.counts)
    }

    assert counted == expected


async def test_what_waits_comes_in_order_with_its_epoch(store: Store) -> None:
    await fill(store)
    found = list(itertools.chain(*[rows async for rows in job_search.waiting(store)]))

    assert found == [(1, 5, 1, 0, None), (1, 5, 2, 1, None), (3, 5, 9, 0, None)]


async def test_a_search_goes_through_large_gaps(store: Store) -> None:
    kind, other = await a_class(store), await a_class(store, subject="bob")
    for i in range(10):
        of = kind if i in (0, 1, 8, 9) else other
        await submitted(store, of, CHUNK_MAX, key=f"key-{i}")
    await store.write(
        job_records.move, [a_move(i, S.WAITING, S.HELD) for i in (7, 1_999, 8_001, 9_999)]
    )
    held = JobSearch(owner_id=kind.owner_id, states=(S.HELD,))

    assert await store.read(job_search.ids, held, limit=100) == [7, 1_999, 8_001, 9_999]
    assert await store.read(job_search.ids, held, limit=3) == [7, 1_999, 8_001]
    page = await store.read(job_search.search, held, after=1_999, limit=1)
    assert [row.job_id for row in page] == [8_001]
    assert (
        len(await store.read(job_search.ids, JobSearch(owner="bob"), limit=10_000)) == 6 * CHUNK_MAX
    )
    assert (
        len(await store.read(job_search.ids, JobSearch(states=(S.WAITING,)), limit=5_000)) == 5_000
    )
    slices = [rows async for rows in job_search.waiting(store)]
    assert [row[2] for rows in slices for row in rows] == [
        i for i in range(1, 10 * CHUNK_MAX + 1) if i not in (7, 1_999, 8_001, 9_999)
    ]


@pytest.mark.parametrize("limit", [0, 1])
async def test_a_limit_holds(store: Store, limit: int) -> None:
    await fill(store)
    for name, (search, expected) in CLAUSES.items():
        assert await store.read(job_search.ids, search, limit=limit) == expected[:limit], name


async def test_jobs_are_found_by_the_name_of_their_submission(store: Store) -> None:
    ada = await a_class(store)
    bob = await a_class(store, subject="bob")
    for key, (kind, name) in enumerate([(ada, "a"), (bob, "a"), (ada, "b"), (ada, "a")]):
        new = a_submission(kind, key=f"key-{key}", name=name)
        await store.write(submission_records.submit, new, some_jobs(kind, 2))

    async def found(limit: int = 9, after: int = 0, **clauses: Any) -> list[int]:
        search = JobSearch(submission_name="a", **clauses)
        return await store.read(job_search.ids, search, limit=limit, after=after)

    assert await found() == [1, 2, 3, 4, 7, 8]
    assert await found(owner_id=ada.owner_id) == [1, 2, 7, 8]
    assert await found(limit=2, after=2) == [3, 4]
    assert await found(submission_id=4) == [7, 8]
    assert await found(submission_id=3) == []


async def test_a_job_is_found_by_a_name_with_its_id(store: Store) -> None:
    kind = await a_class(store)
    own = NewJob(class_id=kind.class_id, body=b"{}", name="job %j of %j", id_placeholder="%j")
    as_it_is = NewJob(class_id=kind.class_id, body=b"{}", name="job %j")
    await store.write(
        submission_records.submit, a_submission(kind, template=None), [own, own, as_it_is]
    )

    names = ("job 1 of 1", "job 2 of 2", "job %j")
    found = [await store.read(job_search.ids, JobSearch(name=one), limit=9) for one in names]

    assert found == [[1], [2], [3]]
