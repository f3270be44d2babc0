"""Logins of a whole fleet, written into mosquitto's file before it starts.

The plug-in writes its file anew for each login that is made, 7 ms with some hundred of them and
much longer with very many; a bench would wait for hours. Here one login serves some pilots.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pilotage.proto import topics

PASSWORD = "word"
ROLE = "bench"
_SALT, _ROUNDS = b"pilotagebnch", 101  # twelve bytes, as the plug-in has them


def write(file: Path, users: Iterable[str], pilots: Iterable[str]) -> None:
    """Add logins for the connections, and those that the central would make for the pilots."""
    known: dict[str, Any] = json.loads(file.read_bytes())
    secret = hidden(PASSWORD)
    known["clients"] += [
        {"username": user, **secret, "roles": [{"rolename": ROLE}]} for user in users
    ]
    known["roles"].append({"rolename": ROLE, "acls": _acls()})
    for pilot in pilots:
        known["clients"].append({"username": pilot, "roles": []})
        known["roles"].append({"rolename": f"pilot:{pilot}", "acls": []})
    file.write_text(json.dumps(known))


def hidden(password: str) -> dict[str, Any]:
    """Return what the plug-in's file has of a password."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), _SALT, _ROUNDS)
    return {
        "password": base64.b64encode(digest).decode(),
        "salt": base64.b64encode(_SALT).decode(),
        "iterations": _ROUNDS,
    }


def _acls() -> list[dict[str, Any]]:
    down = topics.down("+", "+")
    return [
        {"acltype": kind, "topic": topic, "priority": 0, "allow": True}
        for kind, topic in (
            ("publishClientSend", topics.all_up()),
            ("publishClientReceive", down),
            ("subscribePattern", down),
        )
    ]
