"""Quotas, what is used of them, and who holds which content."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from pilotage.proto.api.quotas import Kind

from ..identity.record_types import Holder, shown
from ..store.engine import Store, weighs
from ..store.errors import OverQuota
from ..store.session import Session, json_list

KINDS: Final[tuple[Kind, ...]] = ("community", "group", "owner")
HOLDINGS_A_PAGE: Final = 1_000


class QuotaLimit(msgspec.Struct, frozen=True):
    """The most that may be used. None: no limit."""

    jobs: int | None = None  # that have not ended
    bytes: int | None = None  # that are held


NO_LIMIT: Final = QuotaLimit()


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one community, group or owner, as an operator has set them."""

    kind: Kind
    community: str
    name: str = ""  # the group, or the owner as it is shown; of a community: empty
    jobs: int | None = None
    bytes: int | None = None

    @property
    def key(self) -> tuple[Kind, str, str]:
        return self.kind, self.community, self.name

    @property
    def limit(self) -> QuotaLimit:
        return QuotaLimit(self.jobs, self.bytes)


class QuotaUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What one community, group or owner uses."""

    kind: Kind
    community: str
    name: str  # the group, or the id of the owner; of a community: empty
    jobs: int
    bytes: int


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A content that an owner holds in a group."""

    sha256: str
    owner_id: int
    community: str
    group: str
    bytes: int
    at: float  # when it was brought or asked for last


class HashReference(NamedTuple):
    """A text in which hashes of contents stand, and of whose job or transformation it is."""

    owner_id: int
    group: str
    text: bytes


class HoldingState(NamedTuple):
    """Whether the contents of a store of before are counted, and until when all may read them."""

    counted: bool
    open_until: float


class QuotaLimits(msgspec.Struct, frozen=True):
    """All limits that hold now. The subject alone names an owner of the local issuer."""

    defaults: Mapping[Kind, QuotaLimit] = {}
    own: Mapping[tuple[Kind, str, str], QuotaLimit] = {}
    local_issuer: str = ""

    def of(self, kind: Kind, community: str, name: str) -> QuotaLimit:
        """Return the limit of a community, group or owner by its shown name."""
        return self.own.get((kind, community, name)) or self.defaults.get(kind, NO_LIMIT)

    def name_of(self, kind: Kind, holder: Holder) -> str:
        """Return the name under which a holder is limited and shown."""
        if kind == "community":
            return ""
        if kind == "group":
            return holder.group
        return shown(holder.issuer, holder.subject, self.local_issuer)

    def check(
        self,
        what: Literal["jobs", "bytes"],
        holder: Holder,
        used: Iterable[tuple[Kind, int]],
        *,
        more: int,
        before: int = 0,
    ) -> None:
        """Raise OverQuota if one of the sums in `used` is above its limit.

        The sums include `more`, in jobs or bytes. `before`: the jobs that earlier chunks of this
        request stored.
        """
        for kind, now in used:
            name = self.name_of(kind, holder)
            limit = self.of(kind, holder.community, name)
            most = limit.jobs if what == "jobs" else limit.bytes
            if most is not None and now > most:
                raise OverQuota(
                    what,
                    kind=kind,
                    community=holder.community,
                    name=name,
                    used=max(0, now - more - before),
                    limit=most,
                    more=more + before,
                )


NO_LIMITS: Final = QuotaLimits()


HOLDERS_MAX: Final = 20_000
NAMED_AT_A_TIME: Final = 1_024  # rows of which the names of blobs are read at a time


class _Obeyed:
    """The limits that a session obeys. They do not come out of a transaction."""

    def __init__(self) -> None:
        self.limits = NO_LIMITS

    def forget(self) -> None: ...


class _Holders:
    """Who is charged for jobs, by class."""

    def __init__(self) -> None:
        self.by_class: dict[int, Holder] = {}

    def forget(self) -> None:
        self.by_class.clear()


def obey(session: Session, limits: QuotaLimits) -> None:
    """Refuse from now on, in this process, what goes beyond these limits."""
    session.own(_Obeyed).limits = limits


def quotas(session: Session) -> list[Quota]:
    """Return all that operators have set."""
    rows = session.rows("quotas", {})
    return [_struct(Quota, row) for row in rows]


def put_quota(session: Session, quota: Quota) -> None:
    """Keep a quota in place of the one before."""
    fields = msgspec.structs.asdict(quota)
    session.run("put_quota", fields)


def drop_quota(session: Session, kind: Kind, community: str, name: str) -> bool:
    """Remove a quota: the default holds again. False: there was none."""
    fields = {"kind": kind, "community": community, "name": name}
    return session.run("drop_quota", fields).rowcount > 0


def uses(session: Session) -> list[QuotaUsage]:
    """Return all nonzero usage."""
    return [_struct(QuotaUsage, row) for row in session.rows("uses", {})]


def uses_of(session: Session, holder: Holder) -> list[QuotaUsage]:
    """Return what a community, a group and an owner use."""
    fields = {
        "community": holder.community,
        "group": holder.group,
        "owner": str(holder.owner_id),
    }
    return [_struct(QuotaUsage, row) for row in session.rows("uses_of", fields)]


def take_off(session: Session, ended: Sequence[tuple[str, str, int, int]]) -> None:
    """Take jobs that have ended off: (community, group, owner id, how many); < 0 adds some."""
    for community, group, owner_id, count in ended:
        session.rows("use_jobs", _jobs(community, group, owner_id, -count))


def recount(session: Session) -> None:
    """Recount all unended jobs."""
    session.reserve("job", 0)  # whoever stores jobs waits, so that none is missed
    session.run("forget_jobs_used")
    session.run("recount_jobs_used")


@weighs(2)
def hold(session: Session, holding: Holding, *, whatever: bool = False) -> bool:
    """Say that an owner holds a content, and charge for it. Raises OverQuota.

    False: it was held before. With `whatever` no limit counts.
    """
    fields = msgspec.structs.asdict(holding)
    if not session.run("insert_holding", fields).rowcount:
        touch_holdings(session, holding.owner_id, [holding.sha256], holding.at)
        return False
    used = session.rows("use_bytes", {**fields, "owner": str(holding.owner_id)})
    if not whatever:
        owner_id, community, issuer, subject = session.one("holder", fields)
        holder = Holder(community, holding.group, owner_id, issuer, subject)
        session.own(_Obeyed).limits.check("bytes", holder, used, more=holding.bytes)
    return True


def holdings(session: Session, hashes: Sequence[str]) -> list[Holding]:
    """Return who holds these contents."""
    if not hashes:
        return []
    rows = session.rows("holdings", {"hashes": json_list(hashes)})
    return [_struct(Holding, row) for row in rows]


def touch_holdings(session: Session, owner_id: int, hashes: Sequence[str], at: float) -> None:
    """An owner is about to name these contents: they stay for the time of the hold."""
    fields: dict[str, object] = {"owner_id": owner_id, "hashes": json_list(hashes), "at": at}
    session.run("touch_holdings", fields)


def old_holdings(session: Session, after: tuple[str, int, str], before: float) -> list[Holding]:
    """Return a page of holdings of before a moment, behind (hash, owner id, group)."""
    fields = {
        "sha256": after[0],
        "after_owner": after[1],
        "after_group": after[2],
        "before": before,
        "limit": HOLDINGS_A_PAGE,
    }
    return [_struct(Holding, row) for row in session.rows("old_holdings", fields)]


def let_go(session: Session, holdings: Sequence[Holding], before: float) -> int:
    """Remove holdings that are still older than `before`; return how many.

    Their bytes are given back.
    """
    count = 0
    for one in holdings:
        fields = msgspec.structs.asdict(one)
        if session.run("remove_holding", {**fields, "before": before}).rowcount:
            session.rows("use_bytes", {**fields, "owner": str(one.owner_id), "bytes": -one.bytes})
            count += 1
    return count


def holding_state(session: Session) -> HoldingState:
    """Return whether every content has a holder, and until when all may read the others."""
    found = session.one("holding_state", {})
    return HoldingState(True, 0.0) if found is None else HoldingState(bool(found[0]), found[1])


def holdings_counted(session: Session, open_until: float) -> None:
    """Note that every content of the older store has a holder, and until when all may read."""
    fields = {"open_until": open_until}
    session.run("holdings_counted", fields)


async def blob_names(store: Store) -> AsyncIterator[list[HashReference]]:
    """Yield texts in which all blobs stand that a job or an attempt names, by their hashes."""
    for what in ("templates", "bodies", "outputs", "documents", "definitions"):
        begin, end = await store.read(_span_of, what)
        for first in range(begin, end + 1, NAMED_AT_A_TIME):
            found = await store.read(_names_in, what, first)
            if found:
                yield found


def _span_of(session: Session, what: str) -> tuple[int, int]:
    begin, end = session.one(f"span_of_{what}", {})
    return begin, end


def _names_in(session: Session, what: str, first: int) -> list[HashReference]:
    span = {"first": first, "last": first + NAMED_AT_A_TIME - 1}
    return [HashReference(*row) for row in session.rows(f"held_{what}", span)]


def charge_jobs(session: Session, class_ids: Iterable[int], *, before: int) -> None:
    """Count new jobs, given by their classes. Raises OverQuota.

    `before`: jobs of this submission that are already stored.
    """
    _charge(session, Counter(class_ids).items(), before=before)


def charge_again(session: Session, job_ids: Sequence[int]) -> None:
    """Count ended jobs that are to run again. Raises OverQuota."""
    _charge(session, session.rows("classes_among", {"ids": json_list(job_ids)}))


def _charge(session: Session, classes: Iterable[tuple[int, int]], *, before: int = 0) -> None:
    for class_id, count in classes:
        holder = _holder(session, class_id)
        used = session.rows(
            "use_jobs", _jobs(holder.community, holder.group, holder.owner_id, count)
        )
        session.own(_Obeyed).limits.check("jobs", holder, used, more=count, before=before)


def discharge_jobs(session: Session, classes: Sequence[tuple[int, int]]) -> None:
    """Take off jobs of some classes that were never seen: (class, how many)."""
    for class_id, count in classes:
        holder = _holder(session, class_id)
        given = _jobs(holder.community, holder.group, holder.owner_id, -count)
        session.rows("use_jobs", given)


def _holder(session: Session, class_id: int) -> Holder:
    """Return who is charged for jobs of a class."""
    known = session.own(_Holders).by_class
    found = known.get(class_id)
    if found is None:
        found = Holder(*session.one("holder_of_class", {"class_id": class_id}))
        if len(known) >= HOLDERS_MAX:
            known.clear()
        known[class_id] = found
    return found


def _jobs(community: str, group: str, owner_id: int, jobs: int) -> dict[str, object]:
    return {"community": community, "group": group, "owner": str(owner_id), "jobs": jobs}


def _struct(kind: Any, row: Sequence[Any]) -> Any:
    return kind(**dict(zip(kind.__struct_fields__, row, strict=True)))
