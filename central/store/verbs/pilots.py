"""Pilots, the secrets they register with, and tokens of persons."""

from collections.abc import Sequence

import msgspec

from pilotage.proto.pilot_states import FINAL, START, PilotEvent, PilotState, moves

from ..errors import BadSecret, PilotNotFound
from ..records import MARK, MARKS_MAX, NewSecret, PilotRow, Registration, TokenRow
from .rows import pilot_of
from .session import Session


def add_secrets(session: Session, secrets: Sequence[NewSecret]) -> None:
    rows = [{**msgspec.structs.asdict(one), "state": START.value} for one in secrets]
    session.many("insert_pilot", rows)
    session.many("insert_secret", rows)


def register(session: Session, registration: Registration) -> PilotRow:
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


def hello(session: Session, pilot: str, nonce: str, number: int) -> PilotRow:
    fields = {"pilot": pilot, "nonce": nonce, "session": number}
    session.run("open_session", fields)
    found = session.one("get_pilot", fields)
    if found is None or pilot_of(found).session == 0:
        raise PilotNotFound(pilot)
    return pilot_of(found)


def rotate_secret(session: Session, pilot: str, number: int, mark: str) -> PilotRow:
    fields = {"pilot": pilot, "number": number, "mark": mark, "kept": MARK * MARKS_MAX}
    session.run("rotate_secret", fields)
    found = session.one("get_pilot", fields)
    if found is None:
        raise PilotNotFound(pilot)
    return pilot_of(found)


def move_pilot(
    session: Session, pilot: str, old: PilotState, new: PilotState, at: float, reason: str
) -> bool:
    fields = {
        "pilot": pilot,
        "old": old.value,
        "new": new.value,
        "ended_at": at if new in FINAL else None,
        "reason": reason,
        "drain": new is PilotState.DRAINING,
    }
    return session.run("move_pilot", fields).rowcount == 1


def order_pilot(session: Session, pilot: str, told: str) -> None:
    session.run("order_pilot", {"pilot": pilot, "told": told})


def add_token(session: Session, token: TokenRow) -> None:
    fields = msgspec.structs.asdict(token)
    fields["groups"] = msgspec.json.encode(token.groups).decode()
    session.run("insert_token", fields)


def revoke_token(session: Session, jti: str, at: float) -> bool:
    return session.run("revoke_token", {"jti": jti, "at": at}).rowcount == 1
