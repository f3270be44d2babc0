"""Pilots, and the secrets they register with."""

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
    """Store hashed bootstrap secrets, and a pilot row in state Submitted for each."""
    rows = [{**msgspec.structs.asdict(one), "state": START.value} for one in secrets]
    session.many("insert_pilot", rows)
    session.many("insert_secret", rows)


def register(session: Session, registration: Registration) -> PilotRow:
    """Use a secret: session 1, state Running. Raises BadSecret.

    Idempotent by (secret, nonce): nothing is changed then.
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
            raise BadSecret  # cancelled or given up before it came
    return pilot_of(session.one("get_pilot", fields))


def hello(session: Session, pilot: str, nonce: str, number: int = 0) -> PilotRow:
    """Open a session, 0: the next; the same nonce again gives the same one.

    One that is not later than the last is not opened: the row has another nonce then. Raises
    PilotNotFound.
    """
    fields = {"pilot": pilot, "nonce": nonce, "session": number}
    session.run("open_session", fields)
    found = session.one("get_pilot", fields)
    if found is None or pilot_of(found).session == 0:
        raise PilotNotFound(pilot)
    return pilot_of(found)


def rotate_secret(session: Session, pilot: str, number: int, mark: str) -> PilotRow:
    """Use renewal secret `number`; `mark` tells its nonce by `records.MARK` characters.

    Return the row. Nothing is written if that secret was used before: `used` of the row says
    with which nonce. Raises PilotNotFound.
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
    """Compare-and-set of a pilot's state. One that is Draining has the order to, for good."""
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
    """Keep that a pilot is to drain, whatever its state is and becomes.

    With `told`, that it does not wait for what it holds.
    """
    session.run("order_pilot", {"pilot": pilot, "told": told})


def pilot(session: Session, pilot: str) -> PilotRow | None:
    """Return a pilot, None: there is none."""
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
    """Return pilots in order of their name; no states, no site: all."""
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
