"""Productions and transformations are waited for to their end, and no longer than makes sense."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pilotage.central.client import AsyncClient
from pilotage.central.client.errors import TimedOut
from pilotage.proto.api.transformations import TransformationDetail, TransformationView
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import TaskState as T, TransformationState as S

from ..cli.test_production_texts import detail_of, step, view
from .stub_central import HandPace, StubCentral, ok


@pytest.fixture
def stub() -> StubCentral:
    return StubCentral()


@pytest.fixture
async def client(stub: StubCentral) -> AsyncIterator[AsyncClient]:
    async with AsyncClient("http://central.test", "t", http=stub, pace=HandPace()) as made:
        yield made


def transformation(state: S, **fields: Any) -> TransformationDetail:
    given: dict[str, Any] = {
        "id": 7,
        "name": "count",
        "title": "",
        "state": state,
        "reason": "",
        "group": "users",
        "community": "ctao",
        "owner": "ada",
        "inputs": {},
        "tasks": {},
        "tasks_made": 0,
        "tasks_wanted": 0,
        "outputs": "users:c",
        "marks": (),
        "derived_from": None,
        "made_at": "",
        "changed_at": "",
    }
    return TransformationDetail(view=TransformationView(**{**given, **fields}), document={})


async def test_a_production_is_waited_for_until_it_is_complete(
    client: AsyncClient, stub: StubCentral
) -> None:
    stub.next.extend(ok(detail_of(view(step(), state=one))) for one in (P.ACTIVE, P.COMPLETED))

    assert (await client.wait_for_production("w")).state is P.COMPLETED
    assert [one.path for one in stub.got] == ["/v1/productions/w", "/v1/productions/3"]


async def test_one_that_goes_on_only_when_a_person_has_looked_is_not_waited_for_unless_told(
    client: AsyncClient, stub: StubCentral
) -> None:
    paused = ok(detail_of(view(step(), state=P.PAUSED)))
    stub.next.extend([paused, paused, ok(detail_of(view(step(), state=P.COMPLETED)))])

    assert (await client.wait_for_production("w")).state is P.PAUSED
    assert (await client.wait_for_production("w", through_held=True)).state is P.COMPLETED


async def test_it_is_said_of_what_how_many_are_not_finished(
    client: AsyncClient, stub: StubCentral
) -> None:
    active = ok(detail_of(view(step("a"), step("b", state=S.COMPLETED))))
    stub.next.extend([active] * 3)

    with pytest.raises(TimedOut, match="^steps of production w: 1 not finished after 1 s"):
        await client.wait_for_production("w", timeout_s=1)


async def test_a_transformation_is_waited_for_until_nothing_is_left_or_a_person_must_look(
    client: AsyncClient, stub: StubCentral
) -> None:
    running = transformation(S.PAUSED, tasks={T.CREATED: 1})
    stub.next.extend(
        [
            *(ok(transformation(S.ACTIVE)), ok(running), ok(transformation(S.PAUSED))),
            *(ok(transformation(S.PAUSED)), ok(transformation(S.COMPLETED))),
            *(ok(transformation(S.ACTIVE)), ok(transformation(S.ACTIVE))),
        ]
    )

    assert (await client.wait_for_transformation("count")).state is S.PAUSED
    ended = await client.wait_for_transformation("count", through_held=True)
    assert ended.state is S.COMPLETED
    with pytest.raises(TimedOut, match="^transformation count: 1 not finished"):
        await client.wait_for_transformation("count", timeout_s=0.5)
