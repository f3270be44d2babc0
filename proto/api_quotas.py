"""Bodies of requests and answers about quotas."""

from typing import Annotated, Literal

from msgspec import Meta

from .bodies import In as _In
from .bodies import Out as _Out


class UsageRow(_Out, frozen=True):
    """What a community, a group or an owner uses now, and the most; None: no limit."""

    kind: Literal["community", "group", "owner"]
    community: str
    name: str  # of the group or owner; of a community: empty
    jobs: int  # that have not ended
    jobs_max: int | None
    bytes: int  # inputs and outputs that the central keeps
    bytes_max: int | None


class UsageView(_Out, frozen=True):
    """What counts for the caller; for operators all there is."""

    rows: list[UsageRow]


class QuotaChange(_In, frozen=True):
    """Set what one may use at most, in place of what was set before; None: no limit."""

    kind: Literal["community", "group", "owner"]
    community: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Annotated[str, Meta(max_length=384)] = ""  # of the group or owner, as `usage` shows it
    jobs: Annotated[int, Meta(ge=0, le=1 << 53)] | None = None  # 0: none
    bytes: Annotated[int, Meta(ge=0, le=1 << 53)] | None = None  # 0: none
    remove: bool = False  # what holds for all by the settings holds again
