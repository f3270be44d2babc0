"""Commands for mosquitto's dynamic-security plug-in, and its answers. Pure.

The plug-in of mosquitto 2.0 does not expand `%u` in a topic, so one role cannot serve all pilots.
Every pilot has a role of its own that lists its topics.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from pilotage.proto import topics

CONTROL = "$CONTROL/dynamic-security/v1"
RESPONSE = f"{CONTROL}/response"
OWN_ROLE = "pilotage-central"
EXISTS = " already exists"

DynsecCommand = dict[str, Any]


class BrokerAccount(NamedTuple):
    """A login as it should be. The `password` None means that the login must not exist."""

    community: str
    pilot: str
    password: str | None


class Response(msgspec.Struct, frozen=True):
    """The answer to one command."""

    command: str = ""
    correlation: str = msgspec.field(name="correlationData", default="")
    error: str = ""
    data: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class _Responses(msgspec.Struct, frozen=True):
    responses: list[Response] = msgspec.field(default_factory=list[Response])


def encode(commands: Sequence[DynsecCommand]) -> bytes:
    """Return a message with these commands in order."""
    return msgspec.json.encode({"commands": commands})


def decode(payload: bytes) -> list[Response]:
    """Return the answers in a message, in the order of their commands. Raises ValueError."""
    return msgspec.json.decode(payload, type=_Responses).responses


def numbered(commands: Iterable[DynsecCommand], batch: str) -> list[DynsecCommand]:
    """Return the commands with a mark that their answers repeat."""
    return [{**command, "correlationData": f"{batch}:{i}"} for i, command in enumerate(commands)]


def make(login: BrokerAccount) -> list[DynsecCommand]:
    """Return the commands that create a login."""
    return [
        {"command": "createRole", **_role(login)},
        {"command": "createClient", **_client(login)},
    ]


def replace(login: BrokerAccount) -> list[DynsecCommand]:
    """Return the commands that update an existing login. They cut its connection."""
    return [
        {"command": "modifyRole", **_role(login)},
        {"command": "modifyClient", **_client(login)},
    ]


def forget(login: BrokerAccount) -> list[DynsecCommand]:
    """Return the commands that remove a login and cut its connection."""
    return [
        {"command": "deleteClient", "username": login.pilot},
        {"command": "deleteRole", "rolename": _role_name(login.pilot)},
    ]


def ask_for(user: str) -> list[DynsecCommand]:
    """Return the command that asks for the roles of `user`."""
    return [{"command": "getClient", "username": user}]


def has_own_role(answer: Response) -> bool:
    """Return whether the client in the answer to `ask_for` has the central's role."""
    roles = answer.data.get("client", {}).get("roles", [])
    return any(role.get("rolename") == OWN_ROLE for role in roles)


def furnish(user: str) -> list[DynsecCommand]:
    """Return the commands that give the central its role. The last one cuts its connection."""
    allowed = [
        ("publishClientSend", topics.down("+", "+")),
        ("publishClientReceive", topics.all_up()),
        ("subscribePattern", topics.all_up()),
    ]
    closed = ["publishClientSend", "publishClientReceive", "subscribe"]
    return [
        {
            "command": "setDefaultACLAccess",
            "acls": [{"acltype": kind, "allow": False} for kind in closed],
        },
        {"command": "createRole", "rolename": OWN_ROLE, "acls": _acls(allowed)},
        {"command": "addClientRole", "username": user, "rolename": OWN_ROLE},
    ]


def _role_name(pilot: str) -> str:
    return f"pilot:{pilot}"


def _role(login: BrokerAccount) -> DynsecCommand:
    down = topics.down(login.community, login.pilot)
    allowed = [
        ("publishClientSend", topics.up(login.community, login.pilot, kind))
        for kind in topics.TopicKind
    ]
    allowed += [("publishClientReceive", down), ("subscribeLiteral", down)]
    return {"rolename": _role_name(login.pilot), "acls": _acls(allowed)}


def _client(login: BrokerAccount) -> DynsecCommand:
    return {
        "username": login.pilot,
        "password": login.password,
        "roles": [{"rolename": _role_name(login.pilot)}],
    }


def _acls(allowed: Iterable[tuple[str, str]]) -> list[DynsecCommand]:
    return [{"acltype": kind, "topic": topic, "allow": True} for kind, topic in allowed]
