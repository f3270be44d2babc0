"""The stored outbox: published files that a Rucio server does not have yet (PROTOCOL C9).

An entry is written in the transaction that publishes its file, and removed after the server has
shown that it has the file. A job that waits for its entries finds them Confirmed until it has
ended. A job that is killed or runs again before that waits for them no more, and they are still
sent.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ..store.records import Record
from ..store.session import Session, json_list

REASON_MAX: Final = 1_000  # characters of a stored reason


class EntryState(str, enum.Enum):
    """The state of an entry."""

    WAITING = "Waiting"
    CONFIRMED = "Confirmed"  # Rucio has it, but its job does not know it yet
    CLASH = "Clash"  # Rucio cannot take it as it is: it is never sent again


class Outgoing(Record, frozen=True, kw_only=True):
    """An entry to write. `file` is the place of its file in the publication."""

    file: int
    rucio: str
    storage: str
    datasets: tuple[str, ...] = ()
    confirm: bool = False  # its job waits for it
    clash: str = ""  # why Rucio cannot hold it; empty: it can


class EntryRow(Record, frozen=True, kw_only=True):
    """A stored entry."""

    entry_id: int
    rucio: str
    community: str
    file_id: int
    storage: str
    datasets: tuple[str, ...]
    job_id: int
    confirm: bool
    state: EntryState
    since: float
    tries: int = 0
    due_at: float = 0.0
    why: str = ""


class EntryCount(Record, frozen=True, kw_only=True):
    """The number of entries of a server in a state, and when the oldest was written."""

    rucio: str
    state: EntryState
    count: int
    oldest: float


class SentBatch(Record, frozen=True, kw_only=True):
    """What became of the entries of a batch, by entry id."""

    confirmed: tuple[int, ...] = ()
    clashes: Mapping[int, str] = {}  # with the reason
    put_off: Mapping[int, tuple[str, float]] = {}  # with the reason, and when each is due again
    gone: tuple[int, ...] = ()  # their files were removed before Rucio had them


def put_outgoing(
    session: Session,
    community: str,
    job_id: int,
    entries: Sequence[Outgoing],
    file_ids: Sequence[int],
    *,
    at: float,
) -> None:
    """Write the entries of a job's files, in the transaction that publishes the files."""
    session.run("release_job", {"job_id": job_id})  # of an earlier run, if it was done again
    first = session.reserve("outbox", len(entries))
    session.many(
        "put_outgoing",
        [
            {
                "entry_id": number,
                "rucio": one.rucio,
                "community": community,
                "file_id": file_ids[one.file],
                "storage": one.storage,
                "datasets": json_list(one.datasets),
                "job_id": job_id,
                "confirm": int(one.confirm),
                "state": (EntryState.CLASH if one.clash else EntryState.WAITING).value,
                "since": at,
                "why": one.clash[:REASON_MAX],
            }
            for number, one in enumerate(entries, first)
        ],
    )


def due(session: Session, rucio: str, now: float, limit: int) -> list[EntryRow]:
    """Return waiting entries of a server that are due, longest due first."""
    given = {"rucio": rucio, "now": now, "limit": limit}
    return [_entry(row) for row in session.rows("outgoing_due", given)]


def entries(
    session: Session, community: str, state: EntryState, *, after: int, limit: int
) -> list[EntryRow]:
    """Return a page of a community's entries in one state, in order of their id."""
    given = {"community": community, "state": state.value, "after": after, "limit": limit}
    return [_entry(row) for row in session.rows("outgoing_of_community", given)]


def entries_of_job(session: Session, job_id: int, limit: int) -> list[EntryRow]:
    """Return the waiting entries for which a job is Completing, in order of their id."""
    given = {"job_id": job_id, "limit": limit}
    return [_entry(row) for row in session.rows("outgoing_of_job", given)]


def counts(session: Session) -> list[EntryCount]:
    """Return the numbers of entries, by server and state."""
    return [
        EntryCount(rucio=row[0], state=EntryState(row[1]), count=row[2], oldest=row[3])
        for row in session.rows("count_outgoing", {})
    ]


def settle(session: Session, sent: SentBatch) -> None:
    """Write what became of the entries of a batch."""
    over = [{"entry_id": one} for one in (*sent.confirmed, *sent.gone)]
    session.many("confirm_outgoing", over)
    session.many("remove_outgoing", over)
    session.many(
        "clash_outgoing",
        [{"entry_id": one, "why": why[:REASON_MAX]} for one, why in sent.clashes.items()],
    )
    session.many(
        "put_off_outgoing",
        [
            {"entry_id": one, "why": why[:REASON_MAX], "due_at": due_at}
            for one, (why, due_at) in sent.put_off.items()
        ],
    )


def settled_jobs(session: Session, limit: int) -> dict[int, str]:
    """Return jobs whose last entry is settled, each with the reason of a clash or an empty text."""
    return {row[0]: row[1] for row in session.rows("settled_jobs", {"limit": limit})}


def release_jobs(session: Session, jobs: Sequence[int]) -> None:
    """Let jobs wait for none of their entries, in the transaction that moves the jobs.

    Confirmed entries are removed. The others are sent as those of a job that never waited.
    """
    ids = [{"job_id": job_id} for job_id in jobs]
    session.many("remove_confirmed", ids)
    session.many("release_job", ids)


def remove_old_clashes(session: Session) -> None:
    """Remove clashes whose job was removed."""
    session.run("remove_old_clashes", {})


def rules_asked(session: Session, rucio: str, datasets: Sequence[str]) -> set[tuple[str, str]]:
    """Return the (dataset, rule) pairs that a server was already asked for."""
    given = {"rucio": rucio, "datasets": json_list(datasets)}
    return {(row[0], row[1]) for row in session.rows("rules_asked", given)}


def keep_rules_asked(session: Session, rucio: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Note (dataset, rule) pairs that a server was asked for."""
    rows = [{"rucio": rucio, "dataset": dataset, "rule": rule} for dataset, rule in pairs]
    session.many("insert_rule_asked", rows)


def _entry(row: Any) -> EntryRow:
    return EntryRow(
        entry_id=row[0],
        rucio=row[1],
        community=row[2],
        file_id=row[3],
        storage=row[4],
        datasets=tuple(msgspec.json.decode(row[5], type=list[str])),
        job_id=row[6],
        confirm=bool(row[7]),
        state=EntryState(row[8]),
        since=row[9],
        tries=row[10],
        due_at=row[11],
        why=row[12],
    )
