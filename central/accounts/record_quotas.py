"""The stored quotas, their usage, and the holdings."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from pilotage.proto.api.quotas import QuotaKind

from ..identity.record_types import Holder, shown
from ..store.engine import Store, weighs
from ..store.errors import OverQuota
from ..store.session import Session, json_list

KINDS: Final[tuple[QuotaKind, ...]] = ("community", "group", "owner")
HOLDINGS_A_PAGE: Final = 1_000


class QuotaLimit(msgspec.Struct, frozen=True):
    """The limits for one community, group or owner. None means no limit."""

    jobs: int | None = None  # unended jobs
    bytes: int | None = None  # bytes of held contents


NO_LIMIT: Final = QuotaLimit()


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that an operator has set for one community, group or owner."""

    kind: QuotaKind
    community: str
    name: str = ""  # the group, or the shown name of the owner; empty for a community
    jobs: int | None = None
    bytes: int | None = None

    @property
    def key(self) -> tuple[QuotaKind, str, str]:
        return self.kind, self.community, self.name

    @property
    def limit(self) -> QuotaLimit:
        return QuotaLimit(self.jobs, self.bytes)


class QuotaUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of one community, group or owner."""

    kind: QuotaKind
    community: str
    name: str  # the group, or the id of the owner; empty for a community
    jobs: int
    bytes: int


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A content that an owner holds in a group."""

    sha256: str
    owner_id: int
    community: str
    group: str
    bytes: int
    at: float  # time of the last upload or request


class HashReference(NamedTuple):
    """A text that contains hashes of contents, and the owner of its job or transformation."""

    owner_id: int
    group: str
    text: bytes


class HoldingState(NamedTuple):
    """The state of contents that a release without holdings has stored."""

    counted: bool  # all have holders
    open_until: float  # until then, all callers may read contents without a holder


class QuotaLimits(msgspec.Struct, frozen=True):
    """All limits in force. Owners of the local issuer are named by their subject alone."""

    defaults: Mapping[QuotaKind, QuotaLimit] = {}
    own: Mapping[tuple[QuotaKind, str, str], QuotaLimit] = {}
    local_issuer: str = ""

    def of(self, kind: QuotaKind, community: str, name: str) -> QuotaLimit:
        """Return the limit of a community, group or owner, given by its shown name."""
        return self.own.get((kind, community, name)) or self.defaults.get(kind, NO_LIMIT)

    def name_of(self, kind: QuotaKind, holder: Holder) -> str:
        """Return the name by which the limits and views name a holder."""
        if kind == "community":
            return ""
        if kind == "group":
            return holder.group
        return shown(holder.issuer, holder.subject, self.local_issuer)

    def check(
        self,
        what: Literal["jobs", "bytes"],
        holder: Holder,
        used: Iterable[tuple[QuotaKind, int]],
        *,
        more: int,
        before: int = 0,
    ) -> None:
        """Raise OverQuota if one of the sums in `used` is above its limit.

        The sums include `more`, in jobs or bytes. `before` is the number of jobs that earlier
        chunks of this request have stored.
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
NAMED_AT_A_TIME: Final = 1_024  # rows read at a time for their names of blobs


class _Obeyed:
    """The limits that a session obeys. They do not depend on a transaction."""

    def __init__(self) -> None:
        self.limits = NO_LIMITS

    def forget(self) -> None: ...


class _Holders:
    """Cache of the accounts that are charged for jobs, by class."""

    def __init__(self) -> None:
        self.by_class: dict[int, Holder] = {}

    def forget(self) -> None:
        self.by_class.clear()


def obey(session: Session, limits: QuotaLimits) -> None:
    """Refuse writes above these limits from now on, in this process."""
    session.own(_Obeyed).limits = limits


def quotas(session: Session) -> list[Quota]:
    """Return all quotas that operators have set."""
    rows = session.rows("quotas", {})
    return [_struct(Quota, row) for row in rows]


def put_quota(session: Session, quota: Quota) -> None:
    """Insert or replace a quota."""
    fields = msgspec.structs.asdict(quota)
    session.run("put_quota", fields)


def drop_quota(session: Session, kind: QuotaKind, community: str, name: str) -> bool:
    """Remove a quota, so that the default applies. Return False if there was none."""
    fields = {"kind": kind, "community": community, "name": name}
    return session.run("drop_quota", fields).rowcount > 0


def uses(session: Session) -> list[QuotaUsage]:
    """Return all nonzero usage."""
    return [_struct(QuotaUsage, row) for row in session.rows("uses", {})]


def uses_of(session: Session, holder: Holder) -> list[QuotaUsage]:
    """Return the usage of a holder's community, group and owner."""
    fields = {
        "community": holder.community,
        "group": holder.group,
        "owner": str(holder.owner_id),
    }
    return [_struct(QuotaUsage, row) for row in session.rows("uses_of", fields)]


def take_off(session: Session, ended: Sequence[tuple[str, str, int, int]]) -> None:
    """Subtract ended jobs, given as (community, group, owner id, count), from the usage.

    A negative count adds jobs.
    """
    for community, group, owner_id, count in ended:
        session.rows("use_jobs", _jobs(community, group, owner_id, -count))


def recount(session: Session) -> None:
    """Recount all unended jobs."""
    session.reserve("job", 0)  # blocks other writers of jobs, so that no job is missed
    session.run("forget_jobs_used")
    session.run("recount_jobs_used")


@weighs(2)
def hold(session: Session, holding: Holding, *, whatever: bool = False) -> bool:
    """Note that an owner holds a content, and charge for it. Raises OverQuota.

    Return False if it was held before. With `whatever`, limits do not apply.
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
    """Return all holdings of these contents."""
    if not hashes:
        return []
    rows = session.rows("holdings", {"hashes": json_list(hashes)})
    return [_struct(Holding, row) for row in rows]


def touch_holdings(session: Session, owner_id: int, hashes: Sequence[str], at: float) -> None:
    """Restart the hold time of holdings that an owner will use soon."""
    fields: dict[str, object] = {"owner_id": owner_id, "hashes": json_list(hashes), "at": at}
    session.run("touch_holdings", fields)


def old_holdings(session: Session, after: tuple[str, int, str], before: float) -> list[Holding]:
    """Return a page of holdings older than `before`, after the key (hash, owner id, group)."""
    fields = {
        "sha256": after[0],
        "after_owner": after[1],
        "after_group": after[2],
        "before": before,
        "limit": HOLDINGS_A_PAGE,
    }
    return [_struct(Holding, row) for row in session.rows("old_holdings", fields)]


def let_go(session: Session, holdings: Sequence[Holding], before: float) -> int:
    """Remove holdings that are still older than `before`; return their number.

    Their bytes are subtracted from the usage.
    """
    count = 0
    for one in holdings:
        fields = msgspec.structs.asdict(one)
        if session.run("remove_holding", {**fields, "before": before}).rowcount:
            session.rows("use_bytes", {**fields, "owner": str(one.owner_id), "bytes": -one.bytes})
            count += 1
    return count


def holding_state(session: Session) -> HoldingState:
    """Return the state of contents that a release without holdings has stored."""
    found = session.one("holding_state", {})
    return HoldingState(True, 0.0) if found is None else HoldingState(bool(found[0]), found[1])


def holdings_counted(session: Session, open_until: float) -> None:
    """Note that all these contents have holders now. All callers may read until `open_until`."""
    fields = {"open_until": open_until}
    session.run("holdings_counted", fields)


async def blob_names(store: Store) -> AsyncIterator[list[HashReference]]:
    """Yield all texts that name blobs by hash: of jobs, attempts, transformations, productions."""
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
    """Add new jobs, given by their classes, to the usage. Raises OverQuota.

    `before` is the number of jobs of this submission that are already stored.
    """
    _charge(session, Counter(class_ids).items(), before=before)


def charge_again(session: Session, job_ids: Sequence[int]) -> None:
    """Add ended jobs that will run again to the usage. Raises OverQuota."""
    _charge(session, session.rows("classes_among", {"ids": json_list(job_ids)}))


def _charge(session: Session, classes: Iterable[tuple[int, int]], *, before: int = 0) -> None:
    for class_id, count in classes:
        holder = _holder(session, class_id)
        used = session.rows(
            "use_jobs", _jobs(holder.community, holder.group, holder.owner_id, count)
        )
        session.own(_Obeyed).limits.check("jobs", holder, used, more=count, before=before)


def discharge_jobs(session: Session, classes: Sequence[tuple[int, int]]) -> None:
    """Subtract jobs that never became visible, given as (class, count), from the usage."""
    for class_id, count in classes:
        holder = _holder(session, class_id)
        given = _jobs(holder.community, holder.group, holder.owner_id, -count)
        session.rows("use_jobs", given)


def _holder(session: Session, class_id: int) -> Holder:
    """Return the account that is charged for jobs of a class."""
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
