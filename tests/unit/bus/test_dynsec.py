"""The commands for mosquitto's dynamic-security plug-in."""

import msgspec
import pytest

from pilotage.central.bus import dynsec
from pilotage.central.bus.dynsec import BrokerAccount, Response

LOGIN = BrokerAccount("ctao", "p1", "word")


def test_a_login_has_the_topics_of_its_pilot_spelled_out() -> None:
    role, client = dynsec.make(LOGIN)

    assert [(acl["acltype"], acl["topic"]) for acl in role["acls"]] == [
        ("publishClientSend", "pilotage/1/ctao/p/p1/up/beat"),
        ("publishClientSend", "pilotage/1/ctao/p/p1/up/log"),
        ("publishClientSend", "pilotage/1/ctao/p/p1/up/will"),
        ("publishClientReceive", "pilotage/1/ctao/p/p1/down"),
        ("subscribeLiteral", "pilotage/1/ctao/p/p1/down"),
    ]
    assert client["username"] == "p1"
    assert client["roles"] == [{"rolename": role["rolename"]}]


def test_replacing_and_forgetting_name_what_making_made() -> None:
    role, client = dynsec.make(LOGIN)
    new_role, new_client = dynsec.replace(LOGIN)
    gone_client, gone_role = dynsec.forget(LOGIN)

    assert {**new_role, "command": "createRole"} == role
    assert {**new_client, "command": "createClient"} == client
    assert gone_client["username"] == client["username"]
    assert gone_role["rolename"] == role["rolename"]


def test_every_command_is_known_again_by_its_answer() -> None:
    commands = dynsec.numbered(dynsec.make(LOGIN), "b7")

    assert [command["correlationData"] for command in commands] == ["b7:0", "b7:1"]
    assert "word" in msgspec.json.decode(dynsec.encode(commands))["commands"][1]["password"]


def test_answers_are_read_as_mosquitto_writes_them() -> None:
    found = dynsec.decode(
        b'{"responses":[{"command":"createRole","correlationData":"b7:0"},'
        b'{"command":"createClient","error":"Client already exists","correlationData":"b7:1"}]}'
    )

    assert [one.correlation for one in found] == ["b7:0", "b7:1"]
    assert [one.error.endswith(dynsec.EXISTS) for one in found] == [False, True]


def test_an_answer_that_is_none_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        dynsec.decode(b'{"responses": 7}')


def test_the_own_role_is_found_among_others() -> None:
    def client(*roles: str) -> Response:
        return Response(data={"client": {"roles": [{"rolename": role} for role in roles]}})

    assert dynsec.has_own_role(client("admin", dynsec.OWN_ROLE))
    assert not dynsec.has_own_role(client("admin"))
    assert not dynsec.has_own_role(Response(error="Client not found"))
