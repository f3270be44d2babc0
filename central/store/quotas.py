"""Quotas, what is used of them, who holds which content: as a store keeps them, and the verbs.

Jobs count from their submission to their end, in the transaction that stores them. Jobs that run
again after their end count again in the transaction that moves them. The process that keeps the
queue subtracts ended jobs once a second (`take_off`), and counts all again when it begins
(`recount`). Bytes count in the transaction that says who holds a content.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from pilotage.proto.api_quotas import Kind

from .errors import OverQuota

KINDS: Final[tuple[Kind, ...]] = ("community", "group", "owner")
HOLDINGS_A_PAGE: Final = 1_000


class Limit(msgspec.Struct, frozen=True):
    """The most that may be used. None: no limit."""

    jobs: int | None = None  # that have not ended
    bytes: int | None = None  # that are held


NO_LIMIT: Final = Limit()


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
    def limit(self) -> Limit:
        return Limit(self.jobs, self.bytes)


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What one community, group or owner uses."""

    kind: Kind
    community: str
    name: str  # the group, or the id of the owner; of a community: empty
    jobs: int
    bytes: int


class Holder(NamedTuple):
    """Who is charged: an owner, in a group of a community."""

    community: str
    group: str
    owner_id: int
    issuer: str
    subject: str


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A content that an owner holds in a group."""

    sha256: str
    owner_id: int
    community: str
    group: str
    bytes: int
    at: float  # when it was brought or asked for last


class Naming(NamedTuple):
    """A text in which hashes of contents stand, and of whose job or transformation it is."""

    owner_id: int
    group: str
    text: bytes


class HoldingState(NamedTuple):
    """Whether the contents of a store of before are counted, and until when all may read them."""

    counted: bool
    open_until: float


def shown(issuer: str, subject: str, local_issuer: str) -> str:
    """Return how an identity is shown: by the subject alone if the issuer is the local one."""
    return subject if issuer == local_issuer else f"{subject}@{issuer}"


class Limits(msgspec.Struct, frozen=True):
    """All limits that hold now. The subject alone names an owner of the local issuer."""

    defaults: Mapping[Kind, Limit] = {}
    own: Mapping[tuple[Kind, str, str], Limit] = {}
    local_issuer: str = ""

    def of(self, kind: Kind, community: str, name: str) -> Limit:
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


NO_LIMITS: Final = Limits()


class QuotaStore(Protocol):
    """Quotas and holdings."""

    async def obey(self, limits: Limits) -> None:
        """Refuse from now on, in this process, what goes beyond these limits."""
        ...

    async def quotas(self) -> list[Quota]:
        """Return all that operators have set."""
        ...

    async def put_quota(self, quota: Quota) -> None:
        """Keep a quota in place of the one before."""
        ...

    async def drop_quota(self, kind: Kind, community: str, name: str) -> bool:
        """Remove a quota: the default holds again. False: there was none."""
        ...

    async def uses(self) -> list[Use]:
        """Return all nonzero usage."""
        ...

    async def uses_of(self, holder: Holder) -> list[Use]:
        """Return what a community, a group and an owner use."""
        ...

    async def take_off(self, ended: Sequence[tuple[str, str, int, int]]) -> None:
        """Take jobs that have ended off: (community, group, owner id, how many); < 0 adds some."""
        ...

    async def recount(self) -> None:
        """Recount all unended jobs."""
        ...

    async def hold(self, holding: Holding, *, whatever: bool = False) -> bool:
        """Say that an owner holds a content, and charge for it. Raises OverQuota.

        False: it was held before. With `whatever` no limit counts.
        """
        ...

    async def holdings(self, hashes: Sequence[str]) -> list[Holding]:
        """Return who holds these contents."""
        ...

    async def touch_holdings(self, owner_id: int, hashes: Sequence[str], at: float) -> None:
        """An owner is about to name these contents: they stay for the time of the hold."""
        ...

    async def old_holdings(self, after: tuple[str, int, str], before: float) -> list[Holding]:
        """Return a page of holdings of before a moment, behind (hash, owner id, group)."""
        ...

    async def let_go(self, holdings: Sequence[Holding], before: float) -> int:
        """Remove holdings that are still older than `before`; return how many.

        Their bytes are given back.
        """
        ...

    async def holding_state(self) -> HoldingState: ...

    async def holdings_counted(self, open_until: float) -> None:
        """Note that every content of the older store has a holder, and until when all may read."""
        ...

    def blob_names(self) -> AsyncIterator[list[Naming]]:
        """Yield texts in which all blobs stand that a job or an attempt names, by their hashes."""
        ...
