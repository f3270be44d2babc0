"""Reads and writes of pilots, and of the secrets with which they register."""

from collections.abc import Sequence
from typing import Any

import msgspec

from pilotage.proto.pilot_states import FINAL, START, PilotEvent, PilotState, moves

from ..store.engine import weighs
from ..store.errors import BadSecret, PilotNotFound
from ..store.session import Session, json_list
from .record_types import MARK, MARKS_MAX, NewSecret, PilotRow, Registration


@weighs(2)
def add_secrets(session: Session, secrets: Sequence[NewSecret]) -> None:
    """Store hashed bootstrap secrets, each with a pilot in the state Submitted."""
    rows = [{**msgspec.structs.asdict(one), "state": START.value} for one in secrets]
    session.many("insert_pilot", rows)
    session.many("insert_secret", rows)


def register(session: Session, registration: Registration) -> PilotRow:
    """Use a secret: the pilot gets session 1 and the state Running. Raises BadSecret.

    Idempotent by (secret, nonce): a repetition changes nothing.
    """
    fields = msgspec.structs.asdict(registration)
    found = session.one("get_secret", fields)
    if found is None:
        raise BadSecret
    fields["pilot"] = found[0]
    if found[2] != registration.nonce:
        if session.run("use_secret", fields).rowcount != 1:
            raise BadSecret
        if not any(
            session.run("register_pilot", {**fields, "old": old.value, "new": new.value}).rowcount
            for old, new in moves(PilotEvent.REGISTERED)
        ):
            raise BadSecret  # the pilot was cancelled or given up before
    return pilot_of(session.one("get_pilot", fields))


def hello(session: Session, pilot: str, nonce: str, number: int = 0) -> PilotRow:
    """Open session `number` (0: the next). The same nonce again gives the same session.

    A session that is not later than the last one is not opened; the returned row then has another
    nonce. Raises PilotNotFound.
    """
    fields = {"pilot": pilot, "nonce": nonce, "session": number}
    session.run("open_session", fields)
    found = session.one("get_pilot", fields)
    if found is None or pilot_of(found).session == 0:
        raise PilotNotFound(pilot)
    return pilot_of(found)


def rotate_secret(session: Session, pilot: str, number: int, mark: str) -> PilotRow:
    """Use renewal secret `number`. Return the row of the pilot.

    `mark`: the first MARK characters of the hash of the nonce. If the secret was used before,
    nothing is written, and `used` of the row has the mark of that use. Raises PilotNotFound.
    """
    fields = {"pilot": pilot, "number": number, "mark": mark, "kept": MARK * MARKS_MAX}
    session.run("rotate_secret", fields)
    found = session.one("get_pilot", fields)
    if found is None:
        raise PilotNotFound(pilot)
    return pilot_of(found)


def move_pilot(
    session: Session, pilot: str, old: PilotState, new: PilotState, at: float, reason: str
) -> bool:
    """Compare-and-set a pilot's state. A pilot that becomes Draining keeps that order."""
    fields = {
        "pilot": pilot,
        "old": old.value,
        "new": new.value,
        "ended_at": at if new in FINAL else None,
        "reason": reason,
        "drain": new is PilotState.DRAINING,
    }
    return session.run("move_pilot", fields).rowcount == 1


def order_pilot(session: Session, pilot: str, told: str = "") -> None:
    """Store the order to drain, which holds in all later states of the pilot.

    With `told` the pilot does not wait for its attempts.
    """
    session.run("order_pilot", {"pilot": pilot, "told": told})


def pilot(session: Session, pilot: str) -> PilotRow | None:
    """Return a pilot, or None."""
    found = session.one("get_pilot", {"pilot": pilot})
    return None if found is None else pilot_of(found)


def pilots(
    session: Session,
    community: str | None,
    *,
    states: Sequence[PilotState],
    after: str,
    limit: int,
    site: str = "",
) -> list[PilotRow]:
    """Return pilots ordered by name. Empty `states` or `site` match all pilots."""
    fields = {
        "community": community,
        "site": site,
        "states": json_list([state.value for state in states]) if states else None,
        "after": after,
        "limit": limit,
    }
    return [pilot_of(row) for row in session.rows("pilots", fields)]


def pilot_of(row: Sequence[Any]) -> PilotRow:
    return PilotRow(
        pilot=row[0],
        community=row[1],
        site=row[2],
        element=row[3],
        state=PilotState(row[4]),
        session=row[5],
        nonce=row[6],
        renewal_hash=row[7],
        host=row[8],
        node=row[9],
        made_at=row[10],
        registered_at=row[11],
        ended_at=row[12],
        reason=row[13],
        drain=bool(row[14]),
        told=row[15],
        renewals=row[16],
        used=tuple(row[17][at : at + MARK] for at in range(0, len(row[17]), MARK)),
    )
