"""An action with a field that it does not have is refused by the name of that field."""

from typing import Any, cast

import msgspec
import pytest

from pilotage.central.client.productions import ProductionCalls
from pilotage.central.client.transport import Transport
from pilotage.central.decode import decode
from pilotage.central.errors import Refused
from pilotage.proto.api import productions, transformations
from pilotage.proto.api.productions import ProductionAction, ProductionActionName
from pilotage.proto.api.transformations import TransformationAction, TransformationActionName

Kind = type[ProductionAction] | type[TransformationAction]
GIVEN: dict[str, Any] = {
    "step": "use", "tasks": 4, "was": 2, "anyway": True, "problematic": True, "priority": None,
    "files": ["sim:a"], "all": True,
}  # fmt: skip
Words = type[ProductionActionName] | type[TransformationActionName]
KINDS: dict[Kind, tuple[Words, dict[str, tuple[str, ...]]]] = {
    ProductionAction: (ProductionActionName, productions.ACTION_FIELDS),
    TransformationAction: (TransformationActionName, transformations.ACTION_FIELDS),
}


def cases() -> list[Any]:
    return [
        pytest.param(kind, action.value, field, id=f"{kind.__name__}-{action.value}-{field}")
        for kind, (names, _) in KINDS.items()
        for action in names
        for field in kind.__struct_fields__
        if field not in ("action", "reason")
    ]


@pytest.mark.parametrize(("kind", "action", "field"), cases())
def test_a_field_is_taken_by_the_actions_that_have_it_alone(
    kind: Kind, action: str, field: str
) -> None:
    given: dict[str, Any] = {"action": action, field: GIVEN[field]}
    if action == "priority":
        given["priority"] = None
    body = msgspec.json.encode(given)
    if field in KINDS[kind][1].get(action, ()):
        assert msgspec.json.decode(msgspec.json.encode(decode(body, kind))) == given
        return
    with pytest.raises(Refused) as why:
        decode(body, kind)
    assert why.value.field.rpartition(".")[2] == field
    assert f"{field}: {action} has no such field, only " in why.value.message


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"action":"clean","step":"x"}', "step: clean has no such field, only complete, extend, "
                                           "fix: nothing was done"),
        (b'{"action":"priority"}', "priority: expected a number, or null: as each job says"),
    ],
)  # fmt: skip
def test_what_would_be_done_to_more_than_was_meant_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(Refused) as told:
        decode(body, ProductionAction)
    assert told.value.message.endswith(why)


def test_what_a_field_is_anyway_may_be_said() -> None:
    body = b'{"action":"pause","step":null,"tasks":0,"anyway":false}'
    assert decode(body, ProductionAction) == ProductionAction(action=ProductionActionName.PAUSE)


class _Heard(ProductionCalls):
    """Keeps what is said to the central."""

    def __init__(self) -> None:
        self._transport = cast(Transport, self)
        self.bodies: list[bytes] = []

    async def ask(self, *_: object, body: object) -> None:
        self.bodies.append(msgspec.json.encode(body))


async def test_the_client_says_that_jobs_have_their_own_priority_again() -> None:
    client = _Heard()
    await client.act_on_production("mc", ProductionActionName.PRIORITY, priority=None)
    await client.act_on_production("mc", ProductionActionName.PAUSE)

    assert client.bodies == [b'{"action":"priority","priority":null}', b'{"action":"pause"}']
