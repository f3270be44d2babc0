"""Quotas, what is used of them, who holds which content, as a store keeps them.

Jobs count from their submission to their end, in the transaction that stores them. Jobs that run
again after their end count again in the transaction that moves them. The process that keeps the
queue subtracts ended jobs once a second (`take_off`), and counts all again when it begins
(`recount`). Bytes count in the transaction that says who holds a content.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

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
