"""Broker logins of a crowd, written ahead as the central would make them.

mosquitto's plug-in writes its whole file anew for each login that is made: a crowd of thousands
that registers at once waits for minutes, and a storm is about what comes after.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pilotage.central.bus import dynsec
from pilotage.central.bus.dynsec import BrokerAccount
from pilotage.central.identity.derived_secrets import FILE, DerivedSecrets
from tests.bench.load.logins import hidden


def of_crowd(data: Path, community: str, pilots: Iterable[str]) -> list[BrokerAccount]:
    """Return the logins that the central of a data directory will make for these pilots."""
    derived = DerivedSecrets((data / FILE).read_bytes())
    return [
        BrokerAccount(community, one, derived.broker_password(community, one)) for one in pilots
    ]


def write(file: Path, logins: Iterable[BrokerAccount]) -> None:
    """Add logins to the file of a broker that does not run."""
    known: dict[str, Any] = json.loads(file.read_bytes())
    for login in logins:
        role, client = dynsec.make(login)
        acls = [{**one, "priority": 0} for one in role["acls"]]
        known.setdefault("roles", []).append({"rolename": role["rolename"], "acls": acls})
        known["clients"].append(
            {"username": client["username"], "roles": client["roles"]} | hidden(str(login.password))
        )
    file.write_text(json.dumps(known))
