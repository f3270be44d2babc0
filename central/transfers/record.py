"""The stored rules for copies of files, and their transfers."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pilotage.proto.catalogue import RuleState
from pilotage.proto.problems import Code

from ..catalogue.record_interned import encode
from ..catalogue.record_registration import publish
from ..catalogue.record_remnants import add_folder
from ..catalogue.record_types import NewFile
from ..catalogue.remnants import RemnantPlace
from ..errors import Refused
from ..identity.record_types import Owner
from ..store.errors import StoreError
from ..store.session import Session, json_list

RULES_MAX: Final = 1_000  # rules of one community


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    pass


class TooManyRules(Refused, StoreError):
    """The community has the maximum number of rules."""

    def __init__(self) -> None:
        message = f"your community has {RULES_MAX} rules, the maximum: drop some first"
        super().__init__(Code.TOO_MANY, message)


class NewRule(_Record, frozen=True):
    """A rule: the number of copies on storages of a file, a dataset, or all matches of a query."""

    community: str
    owner: Owner
    group: str  # its jobs run for this group
    did: str  # a file or dataset; empty for a query
    query: dict[str, Any]
    copies: int
    storages: tuple[str, ...]  # in order of preference


class RuleProgress(_Record, frozen=True):
    """The progress of a rule: the number of files, and of copies in each state."""

    files: int = 0
    there: int = 0
    moving: int = 0
    wanted: int = 0
    stuck: int = 0


def anew(tally: RuleProgress) -> RuleProgress:
    """Return the progress with stuck copies as wanted ones, so that the rule is checked soon."""
    return msgspec.structs.replace(tally, wanted=tally.wanted + max(1, tally.stuck), stuck=0)


class RuleRow(_Record, frozen=True):
    """A rule with its progress at the last check."""

    rule_id: int
    rule: NewRule
    made_at: float
    state: RuleState = RuleState.REPLICATING
    tally: RuleProgress = RuleProgress()
    why: str = ""  # reason of the last failure


class TransferRow(_Record, frozen=True):
    """A copy that is being made, or that failed."""

    transfer_id: int
    rule_id: int
    file_id: int
    storage: str
    is_open: bool  # ordered, but its job may not be submitted yet
    job_id: int | None = None
    failures: int = 0
    not_before: float = 0.0  # wall clock
    why: str = ""


class TransferEnd(_Record, frozen=True):
    """The end of a transfer that storages made by themselves."""

    transfer: TransferRow
    rule: NewRule
    folder: str  # on the storage
    copy: NewFile | None = None  # the file with its new copy; None: it failed
    why: str = ""


def add_rule(session: Session, new: NewRule, *, at: float) -> RuleRow:
    """Store a rule and return it. If an equal one exists, return that. Raises TooManyRules."""
    given: dict[str, object] = {
        "community": new.community,
        "owner_id": new.owner.owner_id,
        "group": new.group,
        "did": new.did,
        "query": encode(new.query).decode(),
        "copies": new.copies,
        "storages": json_list(new.storages),
        "made_at": at,
    }
    known = session.one("rule_like", given)
    if known is None:
        if session.one("count_rules", given)[0] >= RULES_MAX:
            raise TooManyRules
        known = (session.reserve("rule"),)
        session.run("insert_rule", {**given, "rule_id": known[0]})
    return _rule(session.one("rules", {"community": None, "rule_id": known[0]}))


def rules(session: Session, community: str | None = None) -> list[RuleRow]:
    """Return the rules of a community in order of their id. None means all communities."""
    given = {"community": community, "rule_id": None}
    return [_rule(row) for row in session.rows("rules", given)]


def drop_rule(session: Session, community: str, rule_id: int) -> bool:
    """Remove a rule and its transfers; copies and jobs stay. Return False if it does not exist."""
    given = {"community": community, "rule_id": rule_id}
    if session.run("remove_rule", given).rowcount != 1:
        return False
    session.run("remove_transfers_of_rule", given)
    return True


def retry_rule(session: Session, community: str, rule_id: int) -> int:
    """Remove a rule's failed transfers, so that its copies are ordered again with new ids.

    Return the number of removed transfers.
    """
    row = session.one("rules", {"community": community, "rule_id": rule_id})
    if row is None:
        return 0
    tally = anew(_rule(row).tally)
    count = int(session.run("remove_failed_transfers_of_rule", {"rule_id": rule_id}).rowcount)
    session.run(
        "tell_rule",
        {
            "rule_id": rule_id,
            "state": RuleState.REPLICATING.value,
            "tally": msgspec.json.encode(tally).decode(),
            "why": "",
        },
    )
    return count


def tell_rule(
    session: Session, rule_id: int, state: RuleState, tally: RuleProgress, why: str
) -> None:
    """Store the progress of a rule."""
    given = {
        "rule_id": rule_id,
        "state": state.value,
        "tally": msgspec.json.encode(tally).decode(),
        "why": why,
    }
    session.run("tell_rule", given)


def transfers(session: Session, *, only_open: bool = False) -> list[TransferRow]:
    """Return transfers in order of their id."""
    rows = session.rows("open_transfers" if only_open else "transfers", {})
    return [_transfer(row) for row in rows]


def order_transfers(session: Session, wanted: Sequence[tuple[int, int, str]]) -> list[TransferRow]:
    """Open transfers given as (rule, file, storage); return those that were not open.

    A transfer that has failed before is opened again.
    """
    ordered: list[TransferRow] = []
    for rule_id, file_id, storage in wanted:
        given: dict[str, object] = {"rule_id": rule_id, "file_id": file_id, "storage": storage}
        known = session.one("transfer_of", given)
        if known is None:
            given["transfer_id"] = session.reserve("transfer")
            session.run("insert_transfer", given)
        else:
            given["transfer_id"] = known[0]
            if session.run("open_transfer_again", given).rowcount != 1:
                continue
        ordered.append(_transfer(session.one("transfer_of", given)))
    return ordered


def transfer_job(session: Session, transfer_id: int, job_id: int) -> None:
    """Store the job of a transfer."""
    given = {"transfer_id": transfer_id, "job_id": job_id}
    session.run("set_transfer_job", given)


def end_transfers(session: Session, ends: Sequence[tuple[int, str, float]]) -> None:
    """End transfers given as (id, reason, earliest retry); an empty reason means success."""
    for transfer_id, why, not_before in ends:
        given = {"transfer_id": transfer_id, "why": why, "not_before": not_before}
        session.run("fail_transfer" if why else "remove_transfer", given)


def end_third_party(session: Session, end: TransferEnd, *, at: float) -> str:
    """End a transfer that needed no job; return why it failed.

    A whole copy is registered. The folder of a failed one is removed later.
    """
    why = end.why
    if end.copy is not None:
        (outcome,) = publish(session, end.rule.community, [end.copy], at=at)
        why = str(outcome.clash or "")
    if why:
        place = RemnantPlace(
            storage=end.transfer.storage,
            path=end.folder,
            community=end.rule.community,
            owner_id=end.rule.owner.owner_id,
            group=end.rule.group,
        )
        add_folder(session, place, at=at)
    end_transfers(session, [(end.transfer.transfer_id, why, at)])
    return why


def _rule(row: Any) -> RuleRow:
    return RuleRow(
        rule_id=row[0],
        rule=NewRule(
            community=row[1],
            owner=Owner(
                owner_id=row[2], community=row[1], issuer=row[3], subject=row[4], name=row[5]
            ),
            group=row[6],
            did=row[7],
            query=msgspec.json.decode(row[8]),
            copies=row[9],
            storages=tuple(msgspec.json.decode(row[10])),
        ),
        made_at=row[11],
        state=RuleState(row[12]),
        tally=msgspec.json.decode(row[13], type=RuleProgress),
        why=row[14],
    )


def _transfer(row: Any) -> TransferRow:
    return TransferRow(
        transfer_id=row[0],
        rule_id=row[1],
        file_id=row[2],
        storage=row[3],
        is_open=bool(row[4]),
        job_id=row[5],
        failures=row[6],
        not_before=row[7],
        why=row[8],
    )
